"""When the stages ran: a lane per kind of stage, a bar per stage, in the units of the page's drawing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gpatlas.report.run_record import StageRecord

WIDTH, LANE, LABELS, AXIS = 1000, 26, 170, 24  # of the drawing, of a lane, of what is written left of the lanes and below them
THINNEST = 1.0
STEPS = [seconds * unit for unit in (1, 60, 3600) for seconds in (1, 2, 5, 10, 20, 30)] + [86_400 * days for days in (1, 2, 5, 10)]
MOST_TICKS = 8


@dataclass(frozen=True)
class Bar:
    """A stage: left edge and width in units of the drawing, and what it was."""

    x: float
    width: float
    title: str


@dataclass(frozen=True)
class Timeline:
    """`lanes`: kind of stage to its bars, the first to start on top; `ticks`: (x, label). Heights follow from the number of lanes."""

    lanes: dict[str, list[Bar]]
    ticks: list[tuple[float, str]]
    width: int = WIDTH
    lane: int = LANE
    labels: int = LABELS

    @property
    def bottom(self) -> int:
        """Where the lanes end."""
        return LANE * len(self.lanes)

    @property
    def height(self) -> int:
        """Of the drawing, with its axis."""
        return self.bottom + AXIS


def seconds_between(stages: Sequence[StageRecord]) -> float:
    """From the first start to the last end."""
    return max(_seconds_at_start(stage) + stage.wall_seconds for stage in stages) - min(map(_seconds_at_start, stages))


def timeline(stages: Sequence[StageRecord]) -> Timeline:
    """The stages between the first start and the last end; raises ValueError where there is none."""
    zero, span = min(map(_seconds_at_start, stages)), max(seconds_between(stages), 1e-3)
    scale = (WIDTH - LABELS - 10) / span
    lanes: dict[str, list[Bar]] = {}
    for stage in sorted(stages, key=_seconds_at_start):
        x = LABELS + scale * (_seconds_at_start(stage) - zero)
        title = f"{stage.folder} {stage.name}: {stage.wall_seconds:,.1f} s"
        lanes.setdefault(stage.name, []).append(Bar(round(x, 1), round(max(THINNEST, scale * stage.wall_seconds), 1), title))
    step = next((step for step in STEPS if span / step <= MOST_TICKS), STEPS[-1])
    ticks = [(round(LABELS + scale * step * place, 1), clock(step * place)) for place in range(int(span / step) + 1)]
    return Timeline(lanes, ticks)


def clock(seconds: float) -> str:
    """'0', '45 s', '2 min', '1 h 30 min': the two largest units."""
    if round(seconds) < 60:
        return f"{seconds:.0f} s" if seconds else "0"
    units = {"d": 86_400, "h": 3600, "min": 60, "s": 1}
    parts, rest = [], round(seconds)
    for name, size in units.items():
        count, rest = divmod(rest, size)
        parts.append((count, name))
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {name}" for count, name in parts[first : first + 2] if count)


def _seconds_at_start(stage: StageRecord) -> float:
    return datetime.fromisoformat(stage.started).timestamp()
