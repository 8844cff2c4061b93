"""The one language of formulas in the configuration: CEL, bounded, with functions that know how shops write."""

from gateway.expressions.compiled import (
    VARIABLES,
    Expression,
    ExpressionError,
    MissingValueError,
    compile_expression,
)

__all__ = ["VARIABLES", "Expression", "ExpressionError", "MissingValueError", "compile_expression"]
