"""What an answer warns of, and why it says nothing, in French for pictures; pure.

Answers say it in English, as all of the API is; people look at pictures.
"""

import re

from app.journeys.sentences import Language

#: What is said, with its parts as groups, and the same in French.
_SAID = (
    (r"immortal_time: (.+) is known by an event after time zero \((.+)\), so its people must have"
     r" lasted until then; align at a landmark",
     "immortal_time\u00a0: {0} se reconnaît à un événement postérieur à l'instant zéro ({1})"
     "\u00a0: il fallait donc être resté jusque-là\u00a0; alignez sur un repère (landmark)"),
    (r"unequal_follow_up: periods are compared without a window, so the earlier one had longer to"
     r" come through",
     "unequal_follow_up\u00a0: périodes comparées sans fenêtre (window), la plus ancienne a eu plus"
     " de temps pour aboutir"),
    (r"PostHog takes events of one instant in the order of the steps; here they keep the order of"
     r" their source",
     "PostHog prend les événements d'un même instant dans l'ordre des étapes\u00a0; ici ils gardent"
     " l'ordre de leur source"),
    (r"Mixpanel's «optimized re-entry» is entry best",
     "l'option «\u00a0optimized re-entry\u00a0» de Mixpanel est entry best"),
    (r"Amplitude's conversion window is not part of the preset: give the one you use there",
     "le préréglage ne contient pas la fenêtre de conversion d'Amplitude\u00a0: donnez celle que"
     " vous y utilisez"),
    (r"windowFunnel needs a window: give the one you use there",
     "windowFunnel demande une fenêtre\u00a0: donnez celle que vous y utilisez"),
    (r"no event is named (.+); did you mean (.+)\?",
     "aucun événement ne s'appelle {0}\u00a0; vouliez-vous dire {1}\u00a0?"),
    (r"no event is named (.+)", "aucun événement ne s'appelle {0}"),
    (r"nobody's data may be used for (.+): (\d+) people are excluded by consent",
     "aucune donnée ne peut servir à {0}\u00a0: le consentement exclut {1} personnes"),
    (r"(\d+) events are stored and not yet in what this was computed over",
     "{0} événements reçus ne sont pas encore dans ce calcul"),
    (r"(\d+) events say they happen later than as_of and are left out",
     "{0} événements se disent postérieurs à la date de l'état et sont laissés de côté"),
    (r"(\d+) events had happened by as_of and were received only later, such as those of a log that"
     r" was imported; they are left out",
     "{0} événements antérieurs à la date de l'état n'ont été reçus qu'après, comme ceux d'un"
     " journal importé\u00a0; ils sont laissés de côté"),
    (r"the look-back begins on (.+), before the first event \((.+)\): what people did by then is"
     r" not known, and counts as nothing",
     "le regard en arrière commence le {0}, avant le premier événement ({1})\u00a0: ce qu'on a fait"
     " jusque-là est inconnu et compte pour rien"),
    (r"no event lies in the range; the first is of (.+), the last of (.+)",
     "aucun événement dans la période\u00a0; le premier est du {0}, le dernier du {1}"),
    (r"the events or people behind this answer have changed since; ask again to compare",
     "les événements ou les personnes de cette réponse ont changé depuis\u00a0; reposez la question"
     " pour comparer"),
    (r"too thin: ([\d,]+) did and ([\d,]+) did not to learn from; (\d+) each needed",
     "trop peu pour apprendre\u00a0: {0} l'ont fait, {1} non\u00a0; il en faut {2} de chaque"),
    (r"too thin: ([\d,]+) did and ([\d,]+) did not to be judged on; (\d+) each needed",
     "trop peu pour juger\u00a0: {0} l'ont fait, {1} non\u00a0; il en faut {2} de chaque"),
    (r"no better than chance on people it had not seen",
     "pas mieux que le hasard sur des personnes jamais vues"),
    (r"foretold that ([\d,]+) of ([\d,]+) would in the last horizon; ([\d,]+) did",
     "prédits pour le dernier horizon\u00a0: {0} sur {1}\u00a0; {2} l'ont fait"),
    (r"(\d+) customers, (\d+) of whom came back; (\d+) and (\d+) needed",
     "{0} clients, dont {1} revenus\u00a0; il en faut {2} et {3}"),
    (r"no parameters fit best, or too few customers one horizon ago to judge by",
     "aucun paramètre ne convient le mieux, ou trop peu de clients un horizon plus tôt pour juger"),
    (r"foretold (\d+) purchases of the last horizon, not the (\d+) that came",
     "{0} achats prédits pour le dernier horizon, et non les {1} qui ont eu lieu"),
    (r"more than (\d+) people were drawn; ask of a range",
     "plus de {0} personnes tirées au sort\u00a0; donnez une période (range)"),
    (r"of the (\d+) treated (\d+) came to the outcome; both must be (\d+) at least",
     "sur {0} personnes traitées, {1} ont abouti\u00a0; il en faut {2} au moins, autant qui non"),
    (r"of the (\d+) control (\d+) came to the outcome; both must be (\d+) at least",
     "sur {0} témoins, {1} ont abouti\u00a0; il en faut {2} au moins, et autant qui non"),
    (r"the properties say the same of everybody, or nothing",
     "les propriétés disent la même chose de tous, ou rien"),
)  # fmt: skip
_KNOWN = tuple((re.compile(english, re.DOTALL), french) for english, french in _SAID)


def caution(said: str, language: Language) -> str:
    """Return what an answer says in a language; as it is where nobody has said it in that one."""
    if language == "en":
        return said
    for pattern, french in _KNOWN:
        if (found := pattern.fullmatch(said)) is not None:
            return french.format(*found.groups())
    return said
