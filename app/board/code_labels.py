"""Labels of the API's codes. Each kind brings those of its own codes (`app.domain.kinds`)."""

from app.board.desk.messages import DESK_LABELS
from app.domain.kinds import KINDS
from app.domain.kinds.showing import gettext_noop
from app.http.localization import Localization

_COMMON_LABELS = {
    # Outcomes of warnings.
    "outcome_materialised": gettext_noop("came true"),
    "outcome_averted": gettext_noop("averted"),
    "outcome_overtaken": gettext_noop("overtaken by events"),
    "outcome_unknown": gettext_noop("outcome cannot be known"),
    # Agreement.
    "claimed": gettext_noop("only claimed"),
    "single": gettext_noop("one source"),
    "consistent": gettext_noop("several sources, no contradiction"),
    "contested": gettext_noop("contested"),
    "unconfirmed": gettext_noop("parties to the conflict only"),
    # Relation of a report to the assessment.
    "relation_preferred": gettext_noop("preferred"),
    "relation_supports": gettext_noop("supports"),
    "relation_contradicts": gettext_noop("contradicts"),
    "relation_relayed": gettext_noop("repeats another statement"),
    "relation_announced": gettext_noop("only announced"),
    "relation_overtaken": gettext_noop("overtaken by later statements"),
    "relation_claimed": gettext_noop("claim that nothing supports"),
    "relation_superseded": gettext_noop("corrected"),
    "relation_retracted": gettext_noop("retracted"),
    "relation_replaced_by_later": gettext_noop("replaced by a later statement"),
    "relation_past_horizon": gettext_noop("too old compared with the newest statement"),
    "relation_policy": gettext_noop("left out on request"),
    "quoted": gettext_noop("quoted"),
    "paraphrased": gettext_noop("paraphrased"),
    # Grades of the Admiralty scale.
    "reliability_A": gettext_noop("completely reliable"),
    "reliability_B": gettext_noop("usually reliable"),
    "reliability_C": gettext_noop("fairly reliable"),
    "reliability_D": gettext_noop("not usually reliable"),
    "reliability_E": gettext_noop("unreliable"),
    "reliability_F": gettext_noop("cannot be judged"),
    "credibility_1": gettext_noop("confirmed"),
    "credibility_2": gettext_noop("probably true"),
    "credibility_3": gettext_noop("possibly true"),
    "credibility_4": gettext_noop("doubtful"),
    "credibility_5": gettext_noop("improbable"),
    "credibility_6": gettext_noop("cannot be judged"),
    # Method of a report.
    "headcount": gettext_noop("headcount"),
    "registration": gettext_noop("registration"),
    "key_informant": gettext_noop("key informant"),
    "direct_observation": gettext_noop("direct observation"),
    "remote_sensing": gettext_noop("remote sensing"),
    "modelled": gettext_noop("modelled"),
    "expert_estimate": gettext_noop("expert estimate"),
    "media_monitoring": gettext_noop("media monitoring"),
    "unknown": gettext_noop("not stated"),
    # Types of source.
    "un": gettext_noop("United Nations"),
    "government": gettext_noop("government"),
    "armed_actor": gettext_noop("armed actor"),
    "ngo": gettext_noop("NGO"),
    "monitor": gettext_noop("monitor"),
    "media": gettext_noop("media"),
    "local_council": gettext_noop("local council"),
    "witness": gettext_noop("witness"),
    # Levels of urgency.
    "critical": gettext_noop("Critical"),
    "serious": gettext_noop("Serious"),
    "watch": gettext_noop("Watch"),
    "nothing_known": gettext_noop("Nothing known"),
    "dormant": gettext_noop("Dormant"),
}
_KIND_LABELS = {name: {name: kind.title, **kind.code_labels} for name, kind in KINDS.items()}
# Where two kinds share a code, the first registered kind labels it for texts that belong to no kind.
_LABELS = {code: label for labels in reversed(_KIND_LABELS.values()) for code, label in labels.items()} | _COMMON_LABELS | DESK_LABELS


def label_for(code: str, locale: Localization, kind: str = "") -> str:
    """Return the label of a code, as its kind has it where a kind is given; a code without a label loses its underscores."""
    bare = code.removeprefix("because_")
    label = _KIND_LABELS.get(kind, {}).get(code) or _LABELS.get(code) or _LABELS.get(bare)
    return locale.gettext(label) if label else bare.replace("_", " ")
