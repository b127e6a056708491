"""Build the site (``make site``): the live page from this folder, all lessons as pages from their stored outputs.

    python site/build.py [--out build/site] [--live-only]

Everything lies in one folder and works from any static host and from ``file://``. There a browser may neither fetch
files nor start a worker from one: data are scripts that call ``w2vData(name, value)``, and the worker's source stands
in the page.
"""

from __future__ import annotations

import argparse
import base64
import dataclasses
import html
import json
import re
import shutil
import time
from pathlib import Path

import torch

from w2vlearn import FrameGeometry, explore, load, pad, read_audio, transcribe
from w2vlearn.config import PRESETS
from w2vlearn.padding_masks import sample_mask
from w2vlearn.transcription.ctc_decoding import ctc_decode
from w2vlearn.widgets import Explorer, Recorder

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
DATA = ROOT / "w2vlearn" / "data"
WIDGETS = ROOT / "w2vlearn" / "widgets"
NORMS = ("layer", "group")
MASKS = ("on", "off", "inverted")
MODEL = ("safetensors.js", "decoding.js", "model.js")  # what a reader of the page's source sees, and the worker runs


@dataclasses.dataclass(frozen=True)
class Case:
    """A stored clip: what it is called, what is said, under which condition, and its waveform (L,)."""

    name: str
    says: str
    condition: str
    waveform: torch.Tensor


def stored_clips() -> list[Case]:
    """The clips that the digit models' cards speak of, in their order."""
    folder = DATA / "digits_clips"
    cards = json.loads((folder / "digits.json").read_text(encoding="utf-8"))
    return [Case(n, card["says"], card["condition"], read_audio(folder / f"{n}.flac")) for n, card in cards.items()]


def logits(model, clip: torch.Tensor, total: int, mask: str | None) -> torch.Tensor:
    """What the package computes for a clip in a row of ``total`` samples; shape (T, V).

    mask is "on", "off" or "inverted", or None for a model that is handed no mask.
    """
    batch = pad([clip], normalize=model.processing.do_normalize)
    row = torch.nn.functional.pad(batch.waveforms, (0, total - len(clip)))  # (1, L)
    valid = {"on": len(clip), "inverted": total - len(clip)}.get(mask)
    # An inverted mask is an error here. Others count its ones: so many samples from the left are then valid.
    attention_mask = None if valid is None else sample_mask(torch.tensor([valid]), total)
    with torch.inference_mode():
        return model(row, attention_mask=attention_mask).logits[0]


def transcript(model, clip: torch.Tensor, total: int, mask: str | None) -> str:
    """The text of the clip's own frames."""
    geometry = FrameGeometry.from_config(model.config)
    ids = logits(model, clip, total, mask)[: geometry.frame_count(len(clip))].argmax(dim=-1)
    return ctc_decode(ids, model.vocabulary, geometry).text


def outcomes(models, clip: torch.Tensor, total: int) -> dict[tuple[str, str], str]:
    """Text per norm and switch: alone, mask on, off, inverted."""
    texts = {(norm, "alone"): transcript(models[norm], clip, len(clip), None) for norm in NORMS}
    return texts | {(norm, mask): transcript(models[norm], clip, total, mask) for norm in NORMS for mask in MASKS}


def shows_most(texts: dict[tuple[str, str], str], says: str) -> int:
    """How much of lesson 5 a clip shows: right alone, kept by layer norm and mask, lost without."""
    return sum(
        (
            4 * (texts["layer", "alone"] == says),
            2 * (texts["layer", "on"] == texts["layer", "alone"]),
            2 * (texts["layer", "off"] != texts["layer", "alone"]),
            texts["group", "on"] != texts["group", "alone"],
            texts["group", "alone"] == says,
        )
    )


def most_telling(models, clips: list[Case]) -> tuple[Case, Case | None, int, dict[tuple[str, str], str]]:
    """The clip, its company (None: a longer row alone), the row's length and the texts, with which the page opens."""
    best = None
    for clip in clips:
        rows = [(len(other.waveform), other) for other in clips if len(other.waveform) > len(clip.waveform)]
        for total, partner in [*rows, (3 * len(clip.waveform) // 2, None), (7 * len(clip.waveform) // 4, None)]:
            texts = outcomes(models, clip.waveform, total)
            score = (shows_most(texts, clip.says), partner is not None)
            if best is None or score > best[0]:
                best = score, (clip, partner, total, texts)
    return best[1]


def spaced(number: int) -> str:
    """16 000, with narrow spaces."""
    return f"{number:,}".replace(",", "\u202f")


def table(texts: dict[tuple[str, str], str]) -> str:
    """The outcomes as an HTML table; a text that differs from the clip's own is marked, in words too."""
    rows = []
    for norm in NORMS:
        cells = [f'<th scope="row">{norm} norm</th>', f"<td>{html.escape(texts[norm, 'alone'])}</td>"]
        for mask in MASKS:
            text = html.escape(texts[norm, mask]) or "(no letter)"
            same = texts[norm, mask] == texts[norm, "alone"]
            cells.append(
                f"<td>{text}<br><span class=quiet>as alone</span></td>" if same else f"<td><mark>{text}</mark></td>"
            )
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f'<th scope="col">{title}</th>' for title in ("", "alone", "mask on", "mask off", "mask inverted"))
    head = head.replace('<th scope="col"></th>', "<td></td>")
    return (
        '<div class="scroll" tabindex="0" role="group" aria-label="outcomes of all switches"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def answer_of_readme() -> str:
    """The README's answer in three sentences, as HTML: one source for both."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    answer = re.search(r"\*\*The answer in three sentences\.\*\* (.+?)\n\n", text, re.S)[1]
    return re.sub(r"\*(.+?)\*", r"<em>\1</em>", html.escape(answer.replace("\n", " "), quote=False))


def as_script(name: str, value) -> str:
    return f"w2vData({json.dumps(name)}, {json.dumps(value, ensure_ascii=False)});\n"


def as_classic(module: str, name: str, *exports: str) -> str:
    """A JavaScript module as a classic script that defines ``name``, an object with the functions ``exports``."""
    source = re.sub(r"^export .*;$", "", module, flags=re.M)
    return f"const {name} = (() => {{\n{source}\nreturn {{ {', '.join(exports)} }};\n}})();\n"


def write_data(out: Path, clips: list[Case]) -> None:
    """Checkpoints, clips and the explorer's first state as scripts, each loaded when it is first needed."""
    folder = out / "data"
    folder.mkdir(parents=True)
    for norm in NORMS:
        source = DATA / f"digits_{norm}"
        vocabulary = json.loads((source / "vocab.json").read_text(encoding="utf-8"))
        stored = {
            "config": json.loads((source / "config.json").read_text(encoding="utf-8")),
            "processing": json.loads((source / "preprocessor_config.json").read_text(encoding="utf-8")),
            "vocabulary": sorted(vocabulary, key=vocabulary.get),
            "weights": base64.b64encode((source / "model.safetensors").read_bytes()).decode(),
        }
        (folder / f"digits_{norm}.js").write_text(as_script(f"digits_{norm}", stored), encoding="utf-8")
    for clip in clips:
        samples = (clip.waveform * 32768).round().to(torch.int16).numpy().astype("<i2").tobytes()
        script = as_script(f"clip_{clip.name}", {"samples": base64.b64encode(samples).decode()})
        (folder / f"clip_{clip.name}.js").write_text(script, encoding="utf-8")
    explorer = explore(16_000, 23_456, 40_000, frame=12)
    state = explorer.page_state(PRESETS)
    (folder / "explorer.js").write_text(as_script("explorer", state), encoding="utf-8")


def build_live_page(out: Path) -> None:
    """``index.html`` and all that it needs."""
    clips = stored_clips()
    models = {norm: load(DATA / f"digits_{norm}") for norm in NORMS}
    first, partner, total, texts = most_telling(models, clips)

    config = models["layer"].config
    geometry = FrameGeometry.from_config(config)
    site = {
        "first": first.name,
        "partner": partner.name if partner else "",
        "total": total,
        "clips": [{"name": clip.name, "says": clip.says, "condition": clip.condition} for clip in clips],
        "geometry": {
            "kernels": config.conv_kernel,
            "strides": config.conv_stride,
            "hop": geometry.hop,
            "receptive_field": geometry.receptive_field,
        },
    }
    parts = {name: (HERE / name).read_text(encoding="utf-8") for name in (*MODEL, "worker.js")}
    model = "\n".join(parts[name] for name in MODEL)
    still = transcribe(models["layer"], first.waveform)._repr_html_()
    values = {
        "answer": answer_of_readme(),
        "parameters": spaced(sum(p.numel() for p in models["layer"].parameters())),
        "clips": {5: "five", 6: "six"}.get(len(clips), str(len(clips))),
        "features": config.hidden_size,
        "receptive_field": geometry.receptive_field,
        "hop": geometry.hop,
        "first_says": first.says.lower(),
        "total": spaced(total),
        "table": table(texts),
        "still": f'<div class="still">{still}</div>',
        "lines": len(model.splitlines()),
        "model": model,
        "worker": parts["worker.js"],
    }
    page = (HERE / "index.html").read_text(encoding="utf-8")
    page = re.sub(r"\{\{(\w+)\}\}", lambda match: str(values[match[1]]), page)
    # One script file, in the order of what uses what; sources are read in site/, where they lie apart.
    script = "\n".join(
        [
            f"const SITE = {json.dumps(site)};",
            as_classic(Recorder._esm, "recorderWidget", "render", "toWav"),
            as_classic(Explorer._esm, "explorerWidget", "mount"),
            *((HERE / name).read_text(encoding="utf-8") for name in ("sound.js", "journey.js", "page.js")),
        ]
    )
    write_data(out, clips)
    (out / "index.html").write_text(page, encoding="utf-8")
    (out / "page.js").write_text(script, encoding="utf-8")
    shutil.copy(HERE / "style.css", out)
    for sheet in ("explorer.css", "controls.css"):
        shutil.copy(WIDGETS / sheet, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    parser.add_argument("--live-only", action="store_true", help="the live page without the lessons")
    arguments = parser.parse_args()
    began = time.monotonic()
    torch.set_num_threads(1)
    shutil.rmtree(arguments.out, ignore_errors=True)
    build_live_page(arguments.out)
    size = sum(path.stat().st_size for path in arguments.out.rglob("*") if path.is_file())
    print(
        f"{arguments.out / 'index.html'}: the live page, {size / 1e6:.1f} MB in all, {time.monotonic() - began:.0f} s"
    )
    if not arguments.live_only:
        from lessons import build_lessons

        build_lessons(arguments.out / "lessons")
        print(f"{arguments.out / 'lessons' / 'index.html'}: the lessons, {time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
