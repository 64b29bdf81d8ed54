"""Words by which brokers and programs say what a row of a trade list or a log is."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

__all__ = ["Said", "counted", "fate_of_order", "say_word", "what_row_says"]

Said: TypeAlias = Literal["buy", "sell", "no trade", "pending", ""]

# the side of the order that was filled, not of the position: closing a short is a purchase
_BUY = re.compile(
    r"(?:you )?(?:buy|bought|bot)\b.*|b|bto|btc|bc|long|l|\+?1(?:\.0+)?|cover"
    r"|(?:open|enter|entry|add)(?: to)? long|(?:close|exit|cover|reduce)(?: from)? short"
    r"|(?:market|limit|stop|advanced? trade) buy|long entry|short exit|achat|kauf|compra|kupno"
)
_SELL = re.compile(
    r"(?:you )?(?:sell|sold|sld)\b.*|s|sto|stc|ss|short|-1(?:\.0+)?"
    r"|(?:open|enter|entry|add)(?: to)? short|(?:close|exit|reduce)(?: from)? long"
    r"|(?:market|limit|stop|advanced? trade) sell|short entry|long exit"
    r"|vente|verkauf|venta|sprzeda[zż]"
)
_PENDING = re.compile(r"(?:buy|sell) (?:stop limit|limit|stop)")
_NO_TRADE = re.compile(
    r".*\b(?:balance|credit|deposits?|withdraw\w*|dividends?|div|cdiv|sdiv|mdiv|interest|int"
    r"|transfers?|fees?|ach|wire|journal\w*|tax(?:es)?|rewards?|staking|receive|send|convert"
    r"|airdrop|bonus|rebate|cash|split|spl|spr|merger|reinvest\w*|slip|gold|gdbp|adj\w*|correction"
    r"|commissions?|swap|rollover|funding|distributions?|income|moneylink|summary|total|subtotal"
    r"|mint|dtax|dfee|afee|misc|xent|rtp|oexp|oasgn|expir\w*|assign\w*|loan|margin call|payment"
    r"|charge)\b.*"
)
_FILLED = re.compile(
    r"(?:fully |completely )?filled|partial(?:ly)? ?fill(?:ed)?.*|fill|closed?|done|completed?"
    r"|executed|traded?|settled|finished|success(?:ful)?|ok"
)
_DEAD = re.compile(
    r"(?:all |user )?cancel\w*.*|reject\w*|expired?|invalid|fail\w*|void|deleted|inactive|new"
    r"|submitted|accepted|working|pending\w*|placed|queued|none|unfilled|updatesubmitted|held|open"
)


def counted(n: int, thing: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def say_word(value: object) -> str:
    """A cell as words are compared by: lower case, single blanks for ``_``, ``-`` and the like."""
    text = str(value).strip().lower()
    if re.fullmatch(r"[+-]?\d+(?:\.0+)?", text):
        return text
    return re.sub(r"[\s_\-./]+", " ", text).strip()


def what_row_says(value: object) -> Said:
    """Side of a filled order, ``pending`` for an order type such as ``buy limit``, ``no trade`` for
    deposits, dividends and the like; empty where the word is not known."""
    word = say_word(value)
    if _PENDING.fullmatch(word):
        return "pending"
    if _BUY.fullmatch(word):
        return "buy"
    if _SELL.fullmatch(word):
        return "sell"
    return "no trade" if _NO_TRADE.fullmatch(word) else ""


def fate_of_order(value: object) -> Literal["filled", "not filled", ""]:
    """Whether a status says that the order was filled; empty where the word is not known."""
    word = say_word(value)
    if _FILLED.fullmatch(word):
        return "filled"
    return "not filled" if _DEAD.fullmatch(word) else ""
