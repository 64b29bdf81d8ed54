"""Damaged results and logs: a message that names the file, or a sound result; nothing else."""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest

from offline_trader.errors import OfflineTraderError
from offline_trader.evaluation.imported import ImportOptions, read_imported
from offline_trader.experts.log_files import read_log

FILES = (
    "Date,Daily Return (%)\n2020-01-02,0.06\n2020-01-03,-0.03\n2020-01-06,0.02\n",
    ",0\n2020-01-02,0.01\n2020-01-03,-0.02\n2020-01-06,0.01\n",
    "Datum;Kapital\n02.01.2020;1.234,50 €\n03.01.2020;1.250,00 €\n06.01.2020;1.240,10 €\n",
    "Year,Jan,Feb,Mar,Apr,May,Jun,Jul,Aug,Sep,Oct,Nov,Dec\n2020,1%,2%,,,,,,,,,,\n2019,,,,,,,,,,1,1,1\n",
    "Ticket,Open Time,Type,Size,Item,Price,S/L,Close Time,Price,Commission,Swap,Profit\n"
    "1,2020.01.01 00:00,balance,,,,,,,,,1000.00\n"
    "2,2020.01.02 10:00,buy,0.10,eurusd,1.10,0,2020.01.02 12:00,1.1001,-0.70,-0.50,1.00\n",
    "Trade #,Type,Date/Time,Signal,Price USD,Contracts,Net P&L USD,Net P&L %\n"
    "1,Exit long,2020-01-10,Close,110,1,10,10\n1,Entry long,2020-01-02,Long,100,1,10,10\n",
    "Date(UTC),Pair,Side,Price,Executed,Amount,Fee\n"
    "2023-01-02 10:00:00,BTCUSDT,BUY,23456.6,0.03BTC,703.698USDT,0.7USDT\n"
    "2023-01-05 10:00:00,BTCUSDT,SELL,24000,0.03BTC,720USDT,0.72USDT\n",
    "date,close,signal\n2020-01-02,5,1\n2020-01-03,5,0\n2020-01-06,6,-1\n",
    "timestamp,action\n2020-01-02,BUY_SMALL\n2020-01-03,SELL_ALL\n",
)
ODD = (
    "", "nan", "inf", "-inf", "1e309", "-1e308", "9" * 400, "0", "-0", "1,2,3", "2020-13-45",
    '"', "'", "\x07", "1.2.3", "()", "%", "$", "-", "(5", "NaT", "None", "True", "buy", "open",
    "١٢", "½", "1_000", "0x10", "\t", ";", "entry long", "Time", "total", "20230101",
    "1672756200000", "99999999999999999999", "-5%", "5USD", "1e-320",
)  # fmt: skip
CHARACTERS = "\0\t\n\r\"';,\x7f\u00a0−\ufeff\U0001f6000a-(%"


def mutated(text: str, draw: random.Random) -> str:
    for _ in range(draw.randint(1, 3)):
        lines = text.split("\n")
        row = draw.randrange(len(lines))
        match draw.randrange(7):
            case 0 | 1 | 2:
                cells = re.split("([,;])", lines[row])
                cells[2 * draw.randrange(len(cells) // 2 + 1)] = draw.choice(ODD)
                lines[row] = "".join(cells)
            case 3:
                lines[row : row + 1] = [] if draw.random() < 0.5 else [lines[row]] * 2
            case 4:
                names = lines[0].split(",")
                draw.shuffle(names)
                lines[0] = ",".join(names)
            case 5:
                column, odd = draw.randrange(lines[0].count(",") + 1), draw.choice(ODD)
                for i, line in enumerate(lines[1:], 1):
                    lines[i] = ",".join(
                        odd if j == column else cell for j, cell in enumerate(line.split(","))
                    )
            case _:
                at = draw.randrange(len(text) + 1)
                lines = [text[:at] + draw.choice(CHARACTERS) + text[at + draw.randrange(2) :]]
        text = "\n".join(lines)
    return text


def examine(path: Path, seed: int) -> tuple[int, int]:
    """Results and logs that were read of one mutated file, each of which must be sound."""
    draw = random.Random(seed)
    text = mutated(FILES[seed % len(FILES)], draw)
    path.write_bytes(text.encode("utf-8", "replace"))
    kind = draw.choice(["auto", "auto", "returns", "equity", "profits", "trades"])
    capital = 1e6 if kind == "profits" else None
    results = logs = 0
    try:
        found = read_imported(path, ImportOptions(kind=kind, capital=capital))  # type: ignore[arg-type]
        results = 1
    except OfflineTraderError:
        pass
    else:
        assert np.isfinite(found.equity).all(), f"seed {seed}"
        assert (found.equity > 0.0).all(), f"seed {seed}"
        assert (np.diff(found.times) > np.timedelta64(0)).all(), f"seed {seed}"
    try:
        log = read_log(str(path), draw.choice(["auto", "auto", "fills", "weights", "actions"]))
        logs = 1
    except OfflineTraderError:
        pass
    else:
        assert np.isfinite(log.values).all(), f"seed {seed}"
        assert (np.diff(log.times) >= np.timedelta64(0)).all(), f"seed {seed}"
    return results, logs


def test_nothing_but_our_errors_comes_out(tmp_path: Path) -> None:
    read = np.array([examine(tmp_path / "x.csv", seed) for seed in range(180)])
    assert (read.sum(axis=0) > 10).all(), "most of what is damaged would not be read at all"


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_nothing_but_our_errors_comes_out_of_thousands(tmp_path: Path, block: int) -> None:
    for seed in range(1_000 + 1_000 * block, 2_000 + 1_000 * block):
        examine(tmp_path / "x.csv", seed)
