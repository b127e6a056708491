"""What prints as a table. How it looks is the business of `w2vlearn.show`, which lies above and is not known here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar


class Shown:
    """Data that prints as text and, in a notebook, shows as HTML.

    ``Shown.renderer(value, form)`` gives the form ``"text"``, ``"html"``, ``"markdown"``, ``"pandas"`` or ``"figure"``;
    ``w2vlearn/__init__.py`` sets it to `w2vlearn.show.render`, loaded when first used.
    """

    renderer: ClassVar[Callable[..., Any]]

    def _show(self, form: str, **options: Any) -> Any:
        return Shown.renderer(self, form, **options)

    def __str__(self) -> str:
        return self._show("text")

    def _repr_html_(self) -> str:
        return self._show("html")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": str(self), "text/html": self._repr_html_()}
