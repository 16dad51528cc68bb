"""How a rule of the CRD is written: one CEL expression with the words for whoever it refuses.

An expression sees an object after defaults are filled in; `has` tells whether a field is there.
"""

import dataclasses
from collections.abc import Iterable

REQUIRED, FORBIDDEN = "FieldValueRequired", "FieldValueForbidden"
INVALID = "FieldValueInvalid"


@dataclasses.dataclass(frozen=True)
class Rule:
    """One rule on a place of the CRD; `message` is "what is wrong; the mend" and begins with the field.

    `field` is the place at fault inside, `reason` the API's word for the kind of fault, `shown` a CEL
    expression that words the message with values. The API server asks beforehand how long such a text can
    get, so it shows texts of bounded length only: neither numbers nor what was found in a list.
    """

    rule: str
    message: str
    field: str = ""
    reason: str = INVALID
    shown: str = ""

    def to_json(self) -> dict[str, str]:
        """Write the entry of x-kubernetes-validations."""
        entry = {"rule": self.rule, "message": self.message, "reason": self.reason}
        entry |= {"messageExpression": self.shown} if self.shown else {}
        return entry | ({"fieldPath": f".{self.field}"} if self.field else {})


def missing(field: str, when: str, needed_by: str, mend: str, shown: str = "") -> Rule:
    """A field that must be there if `when` holds, because `needed_by` needs it.

    `shown` is the same as `needed_by` in CEL, where a value tells more.
    """
    message = f"{field} is missing, which {needed_by} needs; {mend}"
    expression = (
        f"{text(f'{field} is missing, which ')} + {shown} + {text(f' needs; {mend}')}" if shown else ""
    )
    return Rule(f"!({when}) || has(self.{field})", message, field, REQUIRED, expression)


def useless(field: str, when: str, shown: str, mend: str) -> Rule:
    """A field that must not be there if `when` holds; `shown` is the CEL of what makes it useless."""
    expression = f"{text(f'{field} is of no use with ')} + {shown} + {text(f'; {mend}')}"
    message = f"{field} is of no use here; {mend}"
    return Rule(f"!({when}) || !has(self.{field})", message, field, FORBIDDEN, expression)


def text(value: str) -> str:
    """A text in CEL."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def texts(values: Iterable[str]) -> str:
    """A list of texts in CEL."""
    return f"[{', '.join(map(text, values))}]"


def form(pattern: str) -> str:
    """The whole-text form of a pattern of `forms`, as a text in CEL."""
    return text(f"^(?:{pattern})$")
