"""Numbers in running English: words into digits, and sums worked out. Pure."""

from __future__ import annotations

import re
from fractions import Fraction

_UNITS = "zero one two three four five six seven eight nine ten eleven twelve"
_TEENS = "thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_VALUES = (
    {word: value for value, word in enumerate(f"{_UNITS} {_TEENS}".split())}
    | {word: value for value, word in zip(range(20, 100, 10), _TENS.split(), strict=True)}
    | {"hundred": 100, "thousand": 1_000, "million": 1_000_000}
)
_WORD = "(?:" + "|".join(sorted(_VALUES, key=len, reverse=True)) + ")"
_SPELLED = re.compile(
    rf"\b(?:an? (?=hundred|thousand|million))?{_WORD}(?:(?:[ -]|(?:(?<=hundred)|(?<=thousand)|(?<=million)) and ){_WORD})*\b",
    re.IGNORECASE,
)

NUMBER = r"(\d{1,15}(?:\.\d{1,15})?)"

_REWRITES = (
    (r"(?<=\d),(?=\d{3}\b)", ""),
    (r"(\d) point (\d)", r"\1.\2"),
    (rf"sum of {NUMBER} and {NUMBER}|(?:add {NUMBER} (?:to|and) {NUMBER})", r"\1\3 + \2\4"),
    (rf"product of {NUMBER} and {NUMBER}|multiply {NUMBER} (?:by|with|and) {NUMBER}", r"\1\3 * \2\4"),
    (rf"(?:take|subtract) {NUMBER} (?:away )?from {NUMBER}", r"\2 - \1"),
    (rf"difference (?:between|of) {NUMBER} (?:and|to) {NUMBER}", r"\1 ~ \2"),
    (
        rf"how (?:many|much) (?:more|less|fewer|larger|bigger|smaller)(?: \w+)? (?:is|are) {NUMBER} than {NUMBER}",
        r"\1 ~ \2",
    ),
    (rf"divide {NUMBER} by {NUMBER}", r"\1 / \2"),
    (rf"half (?:of )?{NUMBER}", r"\1 / 2"),
    (rf"(?:double|twice) {NUMBER}", r"2 * \1"),
    (rf"{NUMBER} squared|square of {NUMBER}", r"\1\2 * \1\2"),
    (rf"{NUMBER} ?(?:percent|%) of {NUMBER}", r"\1 / 100 * \2"),
    (r"(?<=\d) ?(?:plus|\+) ?(?=\d)", " + "),
    (r"(?<=\d) ?(?:minus|take away|less|-|−) ?(?=\d)", " - "),
    (r"(?<=\d) ?(?:times|multiplied by|[x×*]) ?(?=\d)", " * "),
    (r"(?<=\d) ?(?:divided by|over|[/÷]) ?(?=\d)", " / "),
)
_SUM = re.compile(rf"{NUMBER}(?: [-+*/~] {NUMBER}){{1,20}}")


def numerals(text: str) -> str:
    """The text with its spelled numbers as digits: "two hundred and twenty-three" becomes "223"."""
    return _SPELLED.sub(lambda spelled: " ".join(str(value) for value in _values(spelled[0])), text)


def find_sum(text: str) -> str | None:
    """The first sum in a text whose numbers are digits, with the operators + - * / and ~ (the difference): "40 - 2"."""
    for pattern, replacement in _REWRITES:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    found = _SUM.search(text)
    return found[0] if found else None


def work_out(expression: str) -> Fraction:
    """The value of what `find_sum` found, products before sums. Raises `ZeroDivisionError`."""
    first, *rest = expression.split(" ")
    total, product = Fraction(0), Fraction(first)
    for operator, number in zip(rest[::2], map(Fraction, rest[1::2]), strict=True):
        match operator:
            case "*":
                product *= number
            case "/":
                product /= number
            case "~":
                product = abs(product - number)
            case _:
                total, product = total + product, number if operator == "+" else -number
    return total + product


def shown(value: Fraction) -> str:
    """A number for people: whole, or "about" to four places."""
    if value.denominator == 1:
        return str(value)
    rounded = f"{float(value):.4f}".rstrip("0")
    return rounded if Fraction(rounded) == value else f"about {rounded}"


def _values(spelled: str) -> list[int]:
    """Several values where words do not add up to one number ("five six")."""
    values, thousands, current, started = [], 0, 0, False
    for word in re.findall("[a-z]+", spelled.lower()):
        value = _VALUES.get(word)
        if value is None:  # "a", "and"
            continue
        if value >= 1_000:
            thousands, current = thousands + max(current, 1) * value, 0
        elif value == 100:
            current = max(current, 1) * 100
        elif not started or (_has_room(current, value)):
            current += value
        else:
            values.append(thousands + current)
            thousands, current = 0, value
        started = True
    return [*values, thousands + current]


def _has_room(current: int, value: int) -> bool:
    """Whether a number below a hundred can still be added: "two hundred" + 23, "twenty" + 3, but not "five" + 6."""
    return current % 100 == 0 or (current % 10 == 0 and current % 100 >= 20 and 0 < value < 10)
