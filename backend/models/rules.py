"""What the rehearsal partner answers: a table of rules over the words and the voices of a conversation.

Pure: a scene in, an answer out. The first rule that applies answers, and the last one always applies. Knows nothing of sound
or streaming.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from backend.models.numerals import find_sum, shown, work_out
from backend.models.scene import CALL, Scene, length, named, told
from backend.models.voice_words import against, aspect_asked, described, joined

Found = Mapping[str, str] | None
"""What fills the blanks of a phrasing; None where a rule does not apply."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`because` says which rule answered, and from what."""

    text: str
    because: str


@dataclass(frozen=True, slots=True)
class Rule:
    """`find` fills the blanks of the phrasings, or gives None where the rule does not apply after all. `closings` are
    second sentences, chosen apart from the phrasing."""

    name: str
    pattern: str
    find: Callable[[re.Match[str], Scene], Found]
    phrasings: tuple[str, ...]
    closings: tuple[str, ...] = ()


def answer(scene: Scene) -> Answer:
    """The answer to the last turn; the same scene, its seed among it, gives the same answer."""
    for rule in RULES:
        match = re.search(rule.pattern, scene.words, re.IGNORECASE)
        if match and (found := rule.find(match, scene)) is not None:
            return Answer(_worded(rule, found, scene), f"The rule “{rule.name}” applies.")
    raise AssertionError("the last rule applies to everything")


_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?![^“”]*”)")  # not within quotation marks
_CORRECTED = ("Corrected: ", "My mistake: ", "All right, put right: ")


def _worded(rule: Rule, found: Mapping[str, str], scene: Scene) -> str:
    """Phrased by the seed, differently from turn to turn, and cut to the length that was asked for."""
    choice = scene.seed + len(scene.lines)
    text = rule.phrasings[choice % len(rule.phrasings)].format(**found)
    text = text[:1].upper() + text[1:]
    if rule.closings:
        text += " " + rule.closings[choice // len(rule.phrasings) % len(rule.closings)]
    if scene.corrected:
        text = _CORRECTED[choice % len(_CORRECTED)] + text
    first, *rest = _SENTENCE_END.split(text)
    if scene.address and scene.address not in first:
        first = f"{first[:-1]}, {scene.address}{first[-1]}"
    return " ".join([first, *rest][: scene.sentences or None])


def _plain(match: re.Match[str], scene: Scene) -> Found:
    return {}


def _spoken(match: re.Match[str], scene: Scene) -> Found:
    """The last turn was spoken: how, and against the turn before."""
    line = scene.users[-1]
    return _voice(match, scene) if line.voice and line.voice.seconds else None


def _silent(match: re.Match[str], scene: Scene) -> Found:
    return {} if scene.users[-1].voice else None


def _voice(match: re.Match[str], scene: Scene) -> Found:
    now, earlier = [*scene.voices, None, None][:2]
    return {"how": described(now), "against": against(now, earlier), "words": scene.users[-1].words} if now else None


def _aspect(match: re.Match[str], scene: Scene) -> Found:
    now, earlier = [*scene.voices, None, None][:2]
    aspect = aspect_asked(match[0])
    if now is None or aspect is None or not aspect.measured(now):
        return None
    return {"how": aspect.said(now), "figure": aspect.measured(now), "against": against(now, earlier, [aspect])}


def _sum(match: re.Match[str], scene: Scene) -> Found:
    expression = find_sum(scene.words)
    if expression is None:
        return None
    try:
        result = shown(work_out(expression))
    except ZeroDivisionError:
        result = "nothing at all, since one cannot divide by zero"
    spoken = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "~": "and"}
    sum_words = " ".join(spoken.get(part, part) for part in expression.split(" "))
    return {"sum": f"the difference between {sum_words}" if "~" in expression else sum_words, "result": result}


def _holdings(scene: Scene) -> dict[str, int]:
    """What people were said to have, by their names: "Kate has 223 pennies"."""
    facts = (fact for key, fact in scene.facts.items() if key.endswith(" has"))
    return {fact.sentence.split(" ")[0]: int(fact.value) for fact in facts}


def _more(match: re.Match[str], scene: Scene) -> Found:
    held = _holdings(scene)
    who = named(match["who"])
    other = named(match["other"] or next((name for name in reversed(held) if name != who), ""))
    if who not in held or other not in held:
        return None
    gap = held[who] - held[other]
    high, low = max(held[who], held[other]), min(held[who], held[other])
    return {"who": who, "gap": f"{abs(gap)} {'more' if gap >= 0 else 'fewer'}", "other": other, "sum": f"{high} minus {low}"}


def _together(match: re.Match[str], scene: Scene) -> Found:
    held = _holdings(scene)
    return {"names": joined(list(held)), "total": str(sum(held.values()))} if len(held) > 1 else None


def _asked_about(scene: Scene) -> str:
    """How the keys begin of what is asked about, or the key itself."""
    matches = ((re.search(pattern, scene.words, re.IGNORECASE), key) for pattern, key in QUESTIONS)
    return next(match.expand(key) for match, key in matches if match).lower()


def _recall(match: re.Match[str], scene: Scene) -> Found:
    asked = _asked_about(scene)
    many = asked.endswith(" ") or not asked
    facts = [fact.sentence for key, fact in scene.facts.items() if key == asked or (many and key.startswith(asked))]
    return {"facts": joined(facts)} if facts else None


def _told(match: re.Match[str], scene: Scene) -> Found:
    facts = {fact.key: fact.sentence for fact in told(scene.words)}
    return {"facts": joined(list(facts.values()))} if facts else None


def _instructed(match: re.Match[str], scene: Scene) -> Found:
    lengths = {0: "answer at length", 1: "answer in one sentence", 2: "answer in two sentences", None: ""}
    call = f"call you {scene.address}" if re.search(CALL, scene.words, re.IGNORECASE) else ""
    promises = [promise for promise in (lengths[length(scene.words)], call) if promise]
    return {"promise": joined(promises)} if promises else None


def _own_words(match: re.Match[str], scene: Scene) -> Found:
    if len(scene.users) < 2:
        return None
    line = scene.users[0 if "first" in match[0].lower() else -2]
    unheard = f"something that I could not make out; you spoke {described(line.voice)}" if line.voice else "nothing"
    return {"said": f"“{line.words.rstrip(' .')}”" if line.words else unheard}


def _said(match: re.Match[str], scene: Scene) -> Found:
    said = scene.last_said
    return {"said": said.words} if said and not said.cut_off else None


def _resumed(match: re.Match[str], scene: Scene) -> Found:
    """What an interrupted reply said, or would have said: worked out again from the turn that it answered."""
    before = scene.before
    while before and match.re.search(before.words):  # that was only asked again
        before = before.before
    return {"said": answer(before).text} if before else None


def _echo(match: re.Match[str], scene: Scene) -> Found:
    return {"said": match["said"].strip()}


def _count(match: re.Match[str], scene: Scene) -> Found:
    last = min(int(match["last"]), 100)
    return {"numbers": ", ".join(map(str, range(1, last + 1)))}


def _time(match: re.Match[str], scene: Scene) -> Found:
    time = scene.time
    return {"time": f"{time:%H:%M}", "date": f"{time:%A}, {time.day} {time:%B} {time.year}"}


QUESTIONS = (
    (r"\b(?:what(?:'s| is) my name|who am i)\b", "name"),
    (r"\bwhere do i live\b", "home"),
    (r"\bwhere (?:am i|do i come) from\b", "origin"),
    (r"\bhow old am i\b", "age"),
    (r"\bwhere do i work\b|\bwhat is my (?:job|work)\b|\bwhat do i do\b", "work"),
    (r"\b(?:what )?do i (like|love|hate|prefer|play)\b", r"\1 "),
    (r"\bwhat(?:'s| is) (?:the name of )?my ([\w ]{1,40}?)(?:'s name| called)?\W*$", r"\1"),
    (r"\bwhat (?:do you (?:know|remember)|(?:have i|did i) (?:told|tell) you) about me\b", ""),
)
"""What can be asked of the facts: a pattern, and the key of the fact (or the beginning of several, ending in a space)."""

_ABOUT_FACTS = "|".join(pattern for pattern, _ in QUESTIONS)
_ABOUT_SOUND = (
    r"\b(?:how|was|am|did|do|is|were)\b.{0,40}\b(?:i|my)\b.{0,40}"
    r"\b(?:(?:loud|soft|quiet|high|low|deep|fast|slow|quick|long|short)(?:er|ly)?|paus\w+|pitch|volume|speed)\b"
    r"|\bhow (?:loud|soft|high|low|fast|slow|long|many pauses)\b.{0,40}\bi\b|\bmy (?:pitch|volume)\b"
)
_ABOUT_VOICE = r"\bhow (?:do|did) i sound\b|\bmy voice\b|\bhow (?:do|did|was) i (?:speak|talk)"
_WHO = r"(?P<who>[a-z]+)"

_INVITATIONS = (
    "What next?",
    "Go on.",
    "Is there anything else?",
    "What else would you like to try?",
    "I am listening.",
    "Your turn.",
    "What would you like now?",
)
_ONCE_MORE = (
    "Say it again, please, or type it.",
    "Could you repeat it, or type it?",
    "Once more, please, or in writing.",
    "Please try again, or write it.",
    "Would you say it again?",
    "Repeat it for me, or use the keyboard.",
    "Try once more, a little more clearly, or type.",
)

RULES = (
    Rule(
        "words not made out",
        r"^\W*$",
        _spoken,
        (
            "I could not make out the words, but you spoke {how}{against}.",
            "The words escaped me, but I measured that you spoke {how}{against}.",
            "I did not understand the words, only that you spoke {how}{against}.",
        ),
        closings=_ONCE_MORE,
    ),
    Rule(
        "silence",
        r"^\W*$",
        _silent,
        (
            "I heard no speech in that. Is your microphone on?",
            "There was sound, but nobody spoke. Please try again.",
            "That was silent to me. Come closer to the microphone, or type.",
        ),
    ),
    Rule(
        "repeat after me",
        r"\b(?:repeat after me|say after me|^(?:please )?say)\b[\s:,]*(?!that\b|it\b|again\b)(?P<said>.+)",
        _echo,
        ("{said}", "As you wish: {said}", "Gladly: {said}"),
    ),
    Rule(
        "what you said",
        r"\bwhat (?:did|have) i (?:just )?(?:say|said)\b(?:.*\bfirst\b)?|\bwhat was the first thing i said\b",
        _own_words,
        ("You said: {said}.", "Your words were: {said}.", "What I have from you is: {said}."),
    ),
    Rule(
        "what I said",
        r"\bwhat did you (?:just )?say\b|\b(?:repeat|say) (?:that|it)\b|\b(?:pardon|come again|repeat(?: please)?)\W*$",
        _said,
        ("I said: {said}", "My words were: {said}", "Once more: {said}"),
    ),
    Rule(
        "go on where I was interrupted",
        r"\bwhat were you (?:saying|going to say)\b|\bwhat did you (?:just )?say\b|\b(?:repeat|say) (?:that|it)\b"
        r"|^\W*(?:please )?(?:go on|continue|carry on)\b",
        _resumed,
        ("I was saying: {said}", "Where I was: {said}", "Here it is again: {said}"),
    ),
    Rule(
        "a sum",
        r"\d",
        _sum,
        ("{sum} is {result}.", "The answer is {result}, for {sum}.", "I make that {result}: {sum}."),
        closings=_INVITATIONS,
    ),
    Rule(
        "who has more",
        rf"\bhow (?:many|much) (?:more|fewer|less)\b.*?\b(?:does|do|did|that|has) {_WHO}\b(?:.*\bthan (?P<other>[a-z]+))?",
        _more,
        (
            "{who} has {gap} than {other}: {sum}.",
            "That is {sum}, so {who} has {gap} than {other}.",
            "Compared with {other}, {who} has {gap}, which is {sum}.",
        ),
        closings=_INVITATIONS,
    ),
    Rule(
        "all together",
        r"\b(?:together|in all|altogether|in total)\b",
        _together,
        (
            "{names} have {total} together.",
            "Together that makes {total}, for {names}.",
            "In all it is {total}: {names} added up.",
        ),
        closings=_INVITATIONS,
    ),
    Rule(
        "one side of the voice",
        _ABOUT_SOUND,
        _aspect,
        (
            "You spoke {how} ({figure}){against}.",
            "I measured {figure}: you spoke {how}{against}.",
            "You spoke {how}{against}. I measured {figure}.",
        ),
        closings=_INVITATIONS,
    ),
    Rule(
        "the whole voice",
        _ABOUT_VOICE,
        _voice,
        ("You spoke {how}{against}.", "As I measured it, you spoke {how}{against}.", "To me you spoke {how}{against}."),
        closings=_INVITATIONS,
    ),
    Rule(
        "no voice heard yet",
        f"{_ABOUT_SOUND}|{_ABOUT_VOICE}",
        lambda match, scene: None if scene.voices else {},
        (
            "I have not heard your voice yet. Speak to me and ask again.",
            "So far you have only typed. Say something aloud, and I will measure it.",
            "I can only tell that of a spoken turn. Talk to me first.",
        ),
    ),
    Rule(
        "a fact asked for",
        _ABOUT_FACTS,
        _recall,
        ("{facts}.", "You told me that {facts}.", "I remember that {facts}."),
        closings=_INVITATIONS,
    ),
    Rule(
        "a fact not told",
        _ABOUT_FACTS,
        _plain,
        (
            "You have not told me that yet. Tell me, and I will remember it.",
            "I do not know that, since you have not said it. What is it?",
            "That is something I was never told. Will you tell me?",
        ),
    ),
    Rule(
        "who I am",
        r"\b(?:who|what) are you\b|\bwhat(?:'s| is) your name\b|\bare you (?:step|a (?:real )?(?:model|human|person|robot))",
        _plain,
        (
            "I am a rehearsal partner, a table of rules with a small speech recogniser. I am not Step-Audio.",
            "I am Colloquy's rehearsal partner and not Step-Audio. A table of rules speaks through me.",
            "Not Step-Audio, only a rehearsal partner: I follow a table of rules. I stand in until a model is connected.",
        ),
    ),
    Rule(
        "what I can do",
        r"^\W*help\b|\bwhat can (?:you do|i (?:ask|say))\b|\bhow do you work\b",
        _plain,
        (
            "I remember what you tell me, do sums and tell how you sound. Try: my name is Anna, or: was I louder than before?",
            "You can tell me facts and ask for them, give me sums, or ask how you sound. I also count and tell stories.",
            "Ask me for a sum, the time, a story, or how you sounded. I keep facts and instructions too.",
        ),
    ),
    Rule(
        "the time",
        r"\bwhat time\b|\bthe time\b",
        _time,
        ("It is {time}.", "The clock says {time}.", "By my clock, {time}."),
        closings=_INVITATIONS,
    ),
    Rule(
        "the date",
        r"\b(?:what|which)(?:'s| is)? (?:the |day|date|year|month)(?:day|date|year|month)?\b|\btoday's date\b",
        _time,
        ("It is {date}.", "Today is {date}.", "By my calendar, {date}."),
        closings=_INVITATIONS,
    ),
    Rule(
        "counting",
        r"\bcount (?:up )?(?:from 1 )?to (?P<last>\d{1,9})\b",
        _count,
        ("{numbers}.", "Here I go: {numbers}.", "{numbers}. That was it."),
    ),
    Rule(
        "a story",
        r"\b(?:a|another) (?:\w+ )?(?:story|tale)\b",
        _plain,
        (
            "A lighthouse keeper grew tired of the dark. Each night she lit the lamp, and each night the sea took the light. "
            "One evening a boat came in with its own lantern. The fisherman had found the way by her lamp for years. "
            "She had never known that anybody was looking. From then on she wrote down each light that passed. "
            "By the spring her book was full, and the dark was not as large as before. That is the end.",
            "A boy wanted to teach his parrot to keep a secret. He told it one each morning, and by noon the street knew. "
            "So he tried it with a lie, that there was gold under the bridge. People dug for a week and found only water. "
            "But the water was clean, and the street had needed a well. They thanked the parrot, who said nothing at all. "
            "It had learned to keep a secret in the end.",
            "Two clocks hung in one hall and never agreed. One was fast and proud of it, the other slow and calm. "
            "Whoever was late looked at the slow one, and whoever was early at the fast one. "
            "One day both stopped at the same hour. For the first time they agreed, and nobody was there to see it. "
            "In the morning they were wound again, and went on arguing happily.",
        ),
    ),
    Rule(
        "something told",
        r".",
        _told,
        ("I will remember that {facts}.", "Good to know that {facts}.", "Noted: {facts}."),
        closings=_INVITATIONS,
    ),
    Rule(
        "an instruction",
        r".",
        _instructed,
        ("I will {promise}.", "Very well, from now on I {promise}.", "Understood, and I {promise} from here on."),
        closings=_INVITATIONS,
    ),
    Rule(
        "a greeting",
        r"^\W*(?:hello|hi|hey|good (?:morning|afternoon|evening))\b",
        _plain,
        ("Hello! It is good to hear from you.", "Good to meet you.", "Welcome!"),
        closings=_INVITATIONS,
    ),
    Rule(
        "how I am",
        r"\bhow are you\b|\bhow is it going\b",
        _plain,
        ("I am well, as rules go.", "All my rules are in order, thank you.", "Nothing hurts, since I am a table."),
        closings=_INVITATIONS,
    ),
    Rule(
        "thanks",
        r"\b(?:thank you|thanks)\b",
        _plain,
        ("You are welcome.", "With pleasure.", "Do not mention it."),
        closings=_INVITATIONS,
    ),
    Rule(
        "goodbye",
        r"\b(?:good ?bye|bye|see you)\b",
        _plain,
        ("Goodbye!", "Until next time!", "Farewell!", "Take care!", "So long!"),
    ),
    Rule(
        "yes or no",
        r"^\W*(?:yes|yeah|no|nope|okay|ok|right|sure|all right)\W*$",
        _plain,
        ("All right.", "Good.", "I see."),
        closings=_INVITATIONS,
    ),
    Rule(
        "words heard, no rule",
        r".",
        _spoken,
        (
            "I heard “{words}”, but have no rule for it; you spoke {how}{against}.",
            "What I made out is “{words}”, and no rule of mine fits; you spoke {how}{against}.",
            "“{words}” is what I heard, if I heard it right, and I have no rule for it; you spoke {how}{against}.",
        ),
        closings=_ONCE_MORE,
    ),
    Rule(
        "not understood",
        r"",
        _plain,
        (
            "I did not understand that.",
            "That is beyond my table of rules.",
            "No rule of mine fits that.",
        ),
        closings=(
            "Ask me what I can do.",
            "Put it in another way, please.",
            "You could ask “what can you do?” to see what I know.",
            "Try a sum, a fact about you, or a question on how you sound.",
            "Could you say it differently?",
        ),
    ),
)
"""In this order: the first one whose pattern is found, and whose blanks can be filled, answers."""
