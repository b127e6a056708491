"""What happens to speech on its way to a recogniser: room, colour, noise, telephone. One FFT does it all.

The channel is linear, so room, colour and band limit are products of frequency responses, and the noise is drawn where
it is shaped: in the frequency domain. One clip in eight gets hardly any noise: a recorder that gates leaves digital
silence between words.
"""

from __future__ import annotations

import numpy as np
import torch

from w2vlearn.audio import SAMPLE_RATE

TAIL = 6400  # samples that a room may ring on: 0.4 s


def frequencies(fft_size: int) -> np.ndarray:
    """Frequency of each bin in Hz, float32 (fft_size // 2 + 1,)."""
    return np.fft.rfftfreq(fft_size, 1 / SAMPLE_RATE).astype(np.float32)


def tilt_response(hz: np.ndarray, db_per_octave: float) -> np.ndarray:
    """Gain that rises or falls by ``db_per_octave`` around 1 kHz, held constant below 100 Hz."""
    octaves = np.log2(np.maximum(hz, 100.0) / 1000.0)
    return (10 ** (db_per_octave * octaves / 20)).astype(np.float32)


def equaliser_response(hz: np.ndarray, gains_db: np.ndarray) -> np.ndarray:
    """Gain through ``gains_db`` at points spaced evenly in log frequency from 100 Hz to 8 kHz, linear in between."""
    points = np.geomspace(100.0, SAMPLE_RATE / 2, len(gains_db))
    return (10 ** (np.interp(np.log(np.maximum(hz, 1.0)), np.log(points), gains_db) / 20)).astype(np.float32)


def band_response(hz: np.ndarray, low: float, high: float, order: int = 6) -> np.ndarray:
    """Butterworth-shaped gain: about 1 between ``low`` and ``high`` (Hz), -3 dB at both, falling beyond."""
    rise = (hz / max(low, 1e-3)) ** (2 * order)
    fall = (hz / high) ** (2 * order)
    return np.sqrt((rise / (1 + rise)) / (1 + fall)).astype(np.float32)


def room_impulse(rng: np.random.Generator, t60_seconds: float, direct_to_reverberant_db: float) -> np.ndarray:
    """Direct sound, then noise that falls by 60 dB in ``t60_seconds``: float32 (TAIL,), direct sound at sample 0."""
    seconds = np.arange(TAIL) / SAMPLE_RATE
    tail = rng.standard_normal(TAIL) * 10 ** (-3 * seconds / t60_seconds)
    first_reflection = int(rng.integers(16, 320))  # 1 to 20 ms after the direct sound
    tail[:first_reflection] = 0.0
    tail *= 10 ** (-direct_to_reverberant_db / 20) / np.sqrt(np.sum(tail**2))
    tail[0] = 1.0
    return tail.astype(np.float32)


def apply_channel(
    clips: np.ndarray, response: np.ndarray, noise: np.ndarray, snr_db: np.ndarray, band: np.ndarray
) -> torch.Tensor:
    """Colour clips, add noise at given ratios, limit the band, normalise.

    Parameters
    ----------
    clips : numpy.ndarray
        float32 (B, L).
    response, noise, band : numpy.ndarray
        Frequency responses (B, F) or (1, F), complex or real; F = fft_size // 2 + 1, fft_size = L + TAIL rounded up.
    snr_db : numpy.ndarray
        (B,) power of the coloured speech over that of the noise, in dB, over the whole clip. A clip without speech gets
        noise of power 1.

    Returns
    -------
    torch.Tensor
        float32 (B, L), mean 0 and variance 1 per clip, as ``do_normalize`` makes it.
    """
    length = clips.shape[1]
    size = fft_size(length)
    speech = torch.fft.rfft(torch.from_numpy(clips), size) * torch.from_numpy(response)  # (B, F)
    hiss = torch.from_numpy(noise)
    power = speech.abs().square().sum(1, keepdim=True)
    gain = (power / hiss.abs().square().sum(1, keepdim=True)).sqrt() * torch.from_numpy(
        10 ** (-snr_db / 20).astype(np.float32)
    ).unsqueeze(1)
    gain = torch.where(power > 0, gain, torch.ones_like(gain))
    mixed = (speech + gain * hiss) * torch.from_numpy(band)
    return normalise(torch.fft.irfft(mixed, size)[:, :length])


def fft_size(length: int) -> int:
    """Room for the clip and the tail of the room, rounded up to a multiple of 1024 (fast, and few distinct sizes)."""
    return -(-(length + TAIL) // 1024) * 1024


def normalise(waves: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 per clip (B, L), as Hugging Face's feature extractor with ``do_normalize``."""
    variance, mean = torch.var_mean(waves, dim=1, correction=0, keepdim=True)
    return (waves - mean) / torch.sqrt(variance + 1e-7)


def draw_noise(rng: np.random.Generator, clips: int, hz: np.ndarray) -> np.ndarray:
    """Spectra of stationary noise, complex64 (clips, F): each clip its own slope and colour, some with mains hum."""
    shape = (clips, len(hz))
    spectrum = rng.standard_normal(shape, np.float32) + 1j * rng.standard_normal(shape, np.float32)
    for row in spectrum:
        row *= tilt_response(hz, rng.uniform(-9, 1)) * equaliser_response(hz, rng.normal(0, 3, 9))
        if rng.random() < 0.1:
            hum = rng.choice([50.0, 60.0]) * np.arange(1, 6)
            row[np.searchsorted(hz, hum)] *= rng.uniform(5, 40)
    return spectrum.astype(np.complex64)


def augment(clips: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Send each clip through a channel of its own.

    Parameters
    ----------
    clips : numpy.ndarray
        float32 (B, L), equal lengths, from ``compose``.
    rng : numpy.random.Generator
        Source of all randomness.

    Returns
    -------
    torch.Tensor
        float32 (B, L), normalised.
    """
    count, length = clips.shape
    size = fft_size(length)
    hz = frequencies(size)
    response = np.ones((count, len(hz)), np.complex64)
    band = np.ones((count, len(hz)), np.float32)
    snr = np.where(rng.random(count) < 0.2, rng.uniform(40, 60, count), rng.uniform(7, 45, count))
    snr[rng.random(count) < 0.12] = 90
    for index in range(count):
        response[index] = tilt_response(hz, rng.uniform(-4, 4)) * equaliser_response(hz, rng.normal(0, 2.5, 9))
        if rng.random() < 0.35:
            impulse = room_impulse(rng, rng.uniform(0.1, 0.7), rng.uniform(-2, 15))
            response[index] *= np.fft.rfft(impulse, size).astype(np.complex64)
        if rng.random() < 0.15:  # a hole in the spectrum, as SpecAugment makes it
            low = rng.uniform(100, 5000)
            response[index, (hz > low) & (hz < low * rng.uniform(1.05, 1.5))] *= 0.03
        kind = rng.random()
        if kind < 0.35:  # telephone, 8 kHz recordings
            band[index] = band_response(hz, rng.uniform(60, 350), rng.uniform(2900, 3950))
        elif kind < 0.55:  # cheap microphones
            band[index] = band_response(hz, rng.uniform(20, 200), rng.uniform(4000, 7900), order=3)
    talk = clips.copy()
    for index in np.flatnonzero(rng.random(count) < 0.15):  # holes in time
        for start in rng.integers(0, length, rng.integers(1, 4)):
            talk[index, start : start + rng.integers(200, 900)] = 0
    for index in np.flatnonzero(rng.random(count) < 0.1):  # somebody else in the background, 8 to 25 dB below
        other = np.roll(clips[rng.integers(count)], int(rng.integers(length)))
        talk[index] += other * np.float32(10 ** (-rng.uniform(8, 25) / 20))
    waves = apply_channel(talk, response, draw_noise(rng, count, hz), snr, band)
    for index in np.flatnonzero(rng.random(count) < 0.1):  # overdriven microphones
        waves[index] = torch.tanh(waves[index] * rng.uniform(0.3, 1.5))
    return normalise(waves)
