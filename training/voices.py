"""Who speaks: espeak-ng accents, voice variants, and which of them training never hears.

A *voice* is an accent, a variant (the timbre), a speed and a pitch. Three kinds of accent:

* English as espeak-ng knows it (American, British, Lancaster ...);
* another language reading the digits in its own spelling, so that the sounds are that language's
  (``"siero"`` read by the German voice);
* another language's voice speaking the English sounds (espeak-ng does so by itself for scripts other than Latin).

Festival's voices are diphones and models of real people's recordings. Its kal and slt are left out: flite, which
measures "another synthesiser", has the same two people.

Held out means: neither the accent (``HELD_OUT_ACCENTS``) nor the timbre (``HELD_OUT_VARIANTS``) occurs in training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

ENGLISH = ("en-us", "en-gb", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc")

RESPELLED = {
    "de": "siero uann tuh srie foor faif siks sewen eit nain",
    "es": "sírou uán tu zri for faiv siks seven eit nain",
    "fr-fr": "zirô ouane tou srî fôr faïve sixe sévène éïte naïne",
    "nl": "zieroo wan toe srie foor faaiv siks seven eet nain",
    "pl": "zirou łan tu fri for fajw siks sewen ejt najn",
    "hi": "ज़ीरो वन टू थ्री फोर फाइव सिक्स सेवन एट नाइन",
    "ru": "зироу уан ту сри фор файв сикс севен эйт найн",
    "pt-br": "zírou uã tu tri fór faiv síks séven êit náin",
    "tr": "ziro van tu tri for fayv siks sevın eyt nayn",
    "fi": "siirou uan tuu srii foor faiv siks seven eit nain",
    "sw": "ziro wan tu thrii foo faiv siks seven eit nain",
    "el": "ζίρο ουάν του θρι φορ φάιβ σιξ σέβεν έιτ νάιν",
    "uk": "зироу уан ту трі фор файв сікс севен ейт найн",
    "cy": "siro wan tŵ thri ffor ffaif sics sefen eit nain",
    "af": "siero wan toe trie foor faaiv siks sewen eet nain",
    "id": "ziro wan tu tri for faif siks seven eit nain",
    "et": "siirou uan tuu srii foor faiv siks seven eit nain",
    "it": "zirou uan tu tri for faiv sics seven eit nain",
    "sv": "ziro oann to tri får fajv sicks sevven ejt najn",
}

ENGLISH_ELSEWHERE = ("ko", "ar", "bn", "ta")

HELD_OUT_ACCENTS = ("en-gb-scotland", "en-029", "it", "sv")

FESTIVAL = {  # voice -> zero ... nine as this voice must be told
    "ked_diphone": "zero one two three four five six seven eight nine",
    "upc_ca_ona_hts": "zirou uan tu zri for faiv siks seven eit nain",
    "czech_dita": "zirou uan tu sri for fajv siks sevn ejt najn",
    "czech_krb": "zirou uan tu tri for fajv siks sevn ejt najn",
    "czech_machac": "zirou uan tu sri for fajv siks seven ejt najn",
    "czech_ph": "zirou van tu tri for fajv siks sevn ejt najn",
    "hy_fi_mv_diphone": "siirou uan tuu srii foor faiv siks seven eit nain",
    "suo_fi_lj_diphone": "tsirou uan tuu trii foo faiv siks seven eit nain",
    "msu_ru_nsh_clunits": "зироу уан ту сри фор файв сикс севен эйт найн",
}

# Neither list has a digit, nor a word that sounds like one (won, to, for, ate).
_OTHER_WORDS = """hello yes no please thank-you good morning evening house table water music window garden yellow
purple orange computer language school teacher student paper pencil mountain river summer winter people family mother
father apple banana coffee sugar butter bread cheese kitchen bottle doctor police station railway airport ticket market
    stop go left right open close start again monday tuesday friday january april august alpha bravo charlie delta
    echo hotel india juliet kilo lima oscar papa romeo sierra tango whiskey zulu ten eleven twenty hundred thousand
    million plus minus cat dog horse bird fish monkey rabbit the quick brown and because maybe never always"""
OTHER_WORDS = tuple(_OTHER_WORDS.split())
_HELD_OUT_WORDS = """question padding frame transformer because-of paris london weather tomorrow yesterday holiday
birthday chocolate potato elephant tiger umbrella guitar piano bicycle bridge castle letter picture number telephone
black white green silver happy later okay sorry welcome wonderful december wednesday"""
HELD_OUT_WORDS = tuple(_HELD_OUT_WORDS.split())

_HELD_OUT = "f5 m8 Denis Alicia shelby zac linda Hugo anika grandpa steph3 rob klatt6 victor"
_IN_TRAINING = """
    m1 m2 m3 m4 m5 m6 m7 f1 f2 f3 f4 croak klatt klatt2 klatt3 klatt4 klatt5 whisper whisperf Alex Andrea Andy
    Annie AnxiousAndy Diogo Gene Gene2 Henrique Jacky Lee Marco Mario Michael Mike Nguyen RicishayMax RicishayMax2
    RicishayMax3 Storm adam antonio announcer aunty belinda benjamin boris caleb david ed edward edward2 fast
    grandma gustave iven iven2 iven3 iven4 john kaukovalta marcelo max michel miguel norbert pablo paul pedro
    quincy robert sandro steph steph2 travis
"""
HELD_OUT_VARIANTS = tuple(_HELD_OUT.split())
TRAINING_VARIANTS = tuple(_IN_TRAINING.split())


@dataclass(frozen=True)
class Voice:
    """One speaker, as espeak-ng is told about it.

    Parameters
    ----------
    accent, variant : str
        espeak-ng's ``-v accent+variant``.
    speed : int
        Words per minute (``-s``).
    pitch : int
        0 to 99 (``-p``).
    ending : str
        Punctuation after a digit: it decides the melody.
    """

    accent: str
    variant: str
    speed: int
    pitch: int
    ending: str = ""

    def spelling(self, digit: int) -> str:
        """How ``digit`` (0 to 9) is written for this accent."""
        return RESPELLED[self.accent].split()[digit] if self.accent in RESPELLED else DIGITS[digit]


def draw_voice(rng: np.random.Generator, held_out_accent: bool = False, held_out_variant: bool = False) -> Voice:
    """Draw one voice.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of all randomness.
    held_out_accent, held_out_variant : bool
        Draw the accent (the variant) from those that training never hears.
    """
    if held_out_accent:
        accent = str(rng.choice(HELD_OUT_ACCENTS))
    else:
        kind = rng.random()
        foreign = [a for a in RESPELLED if a not in HELD_OUT_ACCENTS]
        accents = ENGLISH if kind < 0.55 else foreign if kind < 0.92 else ENGLISH_ELSEWHERE
        accent = str(rng.choice(accents))
    return Voice(
        accent=accent,
        variant=str(rng.choice(HELD_OUT_VARIANTS if held_out_variant else TRAINING_VARIANTS)),
        speed=int(rng.integers(110, 250)),
        pitch=int(rng.integers(10, 90)),
        ending=str(rng.choice(["", "", ",", "?", "!"])),
    )
