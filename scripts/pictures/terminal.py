"""Records a command in a terminal and draws it as an animated SVG.

    terminal.py TITLE SVG COMMAND FOLDER

The terminal is tmux: it says what is on its screen, with colours. The drawing has a light and a dark
palette and names generic fonts only, so that it needs nothing but itself. What is in FOLDER is drawn where it usually
is: in ~/.local/state.
"""

import subprocess
import sys
import time
from html import escape
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.style import Style
from rich.text import Text

COLUMNS, ROWS = 130, 48
# Of a letter, and of a line, in pixels.
WIDTH, HEIGHT = 8.0, 18
PADDING, BAR = 16, 34
# Seconds between looks at the screen, and after which a command has hung.
TICK, LIMIT = 0.2, 300.0
# A picture shows time twice as fast, and waits for nothing longer than that; then its end.
SPEED, LONGEST, SHORTEST, END = 2.0, 0.9, 0.12, 7.0
MOST_FRAMES = 90
# Names of colours, in the order of their numbers.
COLORS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
STYLE = """
:root{--back:#fff;--bar:#eaeef2;--edge:#d0d7de;--text:#1f2328;--faint:#59636e;--red:#b3141c;--green:#116329;--yellow:#7d4e00;\
--blue:#0550ae;--magenta:#8250df;--cyan:#0a6070}
@media (prefers-color-scheme:dark){:root{--back:#0d1117;--bar:#161b22;--edge:#3d444d;--text:#e6edf3;--faint:#9198a1;--red:#ff7b72;\
--green:#56d364;--yellow:#e3b341;--blue:#79c0ff;--magenta:#d2a8ff;--cyan:#76e3ea}}
text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:var(--text);white-space:pre}
.bold{font-weight:700}.faint{fill:var(--faint)}
.red{fill:var(--red)}.green{fill:var(--green)}.yellow{fill:var(--yellow)}.blue{fill:var(--blue)}.magenta{fill:var(--magenta)}\
.cyan{fill:var(--cyan)}
"""

Frame = tuple[str, ...]


def record(command: str) -> list[tuple[float, Frame]]:
    """Runs the command in a terminal of its own; returns what its screen showed, and when."""
    server = ["tmux", "-L", f"pictures-{time.time_ns()}", "-f", "/dev/null"]
    # A shell that says when the command has ended, and stays so that the screen does.
    script = f"printf '\\033[1m$ %s\\033[m\\n' {quote(command)}; sleep 1; {command}; tmux wait-for -S ended; sleep 60"
    subprocess.run(
        [
            *server,
            "new-session",
            "-d",
            "-x",
            str(COLUMNS),
            "-y",
            str(ROWS),
            "sh",
            "-c",
            script,
        ],
        check=True,
    )
    subprocess.run([*server, "set", "status", "off"], check=True)
    frames: list[tuple[float, Frame]] = []
    start = time.monotonic()
    with subprocess.Popen([*server, "wait-for", "ended"]) as ended:
        try:
            while (now := time.monotonic() - start) < LIMIT:
                # Asked before the screen is read, so that the last frame is complete.
                is_over = ended.poll() is not None
                capture = [*server, "capture-pane", "-e", "-p"]
                screen = subprocess.run(
                    capture, check=True, capture_output=True, text=True
                ).stdout
                frame = tuple(screen.rstrip("\n").split("\n"))
                if not frames or frames[-1][1] != frame:
                    frames.append((now, frame))
                if is_over:
                    return frames
                time.sleep(TICK)
        finally:
            subprocess.run([*server, "kill-server"], check=False)
    sys.exit(f"error: `{command}` has not ended in {LIMIT:.0f} seconds")


def quote(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def thin(frames: list[tuple[float, Frame]]) -> list[tuple[float, Frame]]:
    """Leaves out frames that are soon followed by another, until there are few; keeps first and last."""
    gap = TICK
    kept = frames
    while len(kept) > MOST_FRAMES:
        gap *= 1.25
        kept = frames[:1]
        for earlier, later in zip(
            frames[1:], [*frames[2:], (float("inf"), ())], strict=True
        ):
            if later[0] - kept[-1][0] > gap:
                kept.append(earlier)
    return kept


def classes(style: Style) -> str:
    """Returns the classes of a style. What a program says with other means than these is not drawn."""
    found = []
    if style.bold:
        found.append("bold")
    if style.dim:
        found.append("faint")
    elif style.color is not None and style.color.number is not None:
        found.append(COLORS[style.color.number % 8])
    return " ".join(name for name in found if name not in ("black", "white"))


def line(text: str, console: Console) -> str:
    """Returns the parts of a line, each of the width that its letters have in a terminal."""
    parts = []
    column = 0
    for segment in Text.from_ansi(text).render(console):
        content = segment.text.rstrip("\n")
        letters = content.strip(" ")
        if letters:
            x = (column + len(content) - len(content.lstrip(" "))) * WIDTH
            name = classes(segment.style or Style.null())
            attribute = f' class="{name}"' if name else ""
            length = len(letters) * WIDTH
            parts.append(
                f'<tspan x="{x:g}" textLength="{length:g}"{attribute}>{escape(letters, quote=False)}</tspan>'
            )
        column += len(content)
    return "".join(parts)


def draw(title: str, frames: list[tuple[float, Frame]]) -> str:
    console = Console(color_system="standard", width=COLUMNS, force_terminal=True)
    frames = thin(frames)
    rows = max(len(frame) for _, frame in frames)
    width, height = COLUMNS * WIDTH + 2 * PADDING, rows * HEIGHT + BAR + PADDING
    # A line that many frames have is there once.
    lines: dict[str, int] = {}
    screens = []
    for number, (_, frame) in enumerate(frames):
        used = []
        for row, text in enumerate(frame):
            content = line(text, console)
            if content:
                name = lines.setdefault(content, len(lines))
                used.append(f'<use href="#l{name}" y="{row * HEIGHT}"/>')
        screens.append(
            f'<g transform="translate({number * width:g})">{"".join(used)}</g>'
        )
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(frames)]
    shown = [min(max(gap / SPEED, SHORTEST), LONGEST) for gap in gaps] + [END]
    total = sum(shown)
    steps = []
    at = 0.0
    for number, seconds in enumerate(shown):
        steps.append(
            f"{at / total * 100:.2f}%{{transform:translate({-number * width:g}px)}}"
        )
        at += seconds
    last = f"translate({-(len(frames) - 1) * width:g}px)"
    style = (
        f"{STYLE}.film{{animation:film {total:.1f}s step-end infinite}}@keyframes film{{{''.join(steps)}100%{{transform:{last}}}}}"
        # Who does not want things to move sees how it ends.
        f"@media (prefers-reduced-motion:reduce){{.film{{animation:none;transform:{last}}}}}"
    )
    symbols = "\n".join(
        f'<text id="l{name}" y="13">{content}</text>' for content, name in lines.items()
    )
    dots = "".join(
        f'<circle cx="{PADDING + 6 + 20 * dot}" cy="{BAR / 2:g}" r="6" fill="var(--edge)"/>'
        for dot in range(3)
    )
    # Lines of their own, so that a picture that is made again differs where it does.
    film = "\n".join(screens)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height}" width="{width:g}" height="{height}" role="img">
<title>{escape(title)}</title>
<style>{style}</style>
<defs>
{symbols}
</defs>
<rect x=".5" y=".5" width="{width - 1:g}" height="{height - 1}" rx="8" fill="var(--back)" stroke="var(--edge)"/>
<path d="M.5 {BAR}v-{BAR - 8.5}a8 8 0 0 1 8-8h{width - 17:g}a8 8 0 0 1 8 8v{BAR - 8.5}z" fill="var(--bar)" stroke="var(--edge)"/>
{dots}
<text x="{width / 2:g}" y="{BAR / 2 + 5:g}" text-anchor="middle" class="faint">{escape(title)}</text>
<svg x="{PADDING}" y="{BAR + 4}" width="{COLUMNS * WIDTH:g}" height="{rows * HEIGHT}"><g class="film">
{film}
</g></svg>
</svg>
"""


def main() -> None:
    title, path, command, folder = sys.argv[1:]
    frames = record(command)
    frames = [
        (at, tuple(row.replace(folder, "~/.local/state") for row in frame))
        for at, frame in frames
    ]
    Path(path).write_text(draw(title, frames))


if __name__ == "__main__":
    main()
