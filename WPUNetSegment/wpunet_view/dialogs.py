"""What stands over the views: the welcome and the questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trame.widgets import html
from trame.widgets.vuetify3 import (
    VBtn,
    VCard,
    VCardActions,
    VCardText,
    VCardTitle,
    VDialog,
    VList,
    VListItem,
    VTable,
    VTextField,
)
from wpunet import USE

from .looks import ENTER, KEYS

if TYPE_CHECKING:
    from .actions import Actions


def welcome(page: Any, phantom: str) -> None:
    """What stands in place of the views before a CT is open; phantom: what opens the generated one."""
    with (
        html.Div(
            v_if=(f"!{page.case} && !{page.busy}",),
            classes="d-flex align-center justify-center",
            style="position: absolute; inset: 0; background: #101317; z-index: 2",
        ),
        VCard(max_width=520, color="surface", classes="pa-4"),
    ):
        VCardTitle("Kidneys and kidney tumors in CT")
        with VCardText(classes="text-body-2"):
            html.P("Open a CT: a NIfTI, NRRD or MHA file, or a folder of DICOM slices or a zip of it.")
            html.P("Or drop files or a folder anywhere on this page.", classes="mt-2")
            html.P("A segmentation that you saved is opened the same way, after its CT.", classes="mt-2")
            html.P("Nothing leaves the machine that this page comes from.", classes="mt-2")
            html.P(USE, classes="mt-2 text-medium-emphasis")
        with VCardActions(classes="flex-wrap"):
            VBtn("Open a CT", click="window.wpunet.choose(false)", variant="flat", color="primary")
            VBtn("Open a DICOM folder", click="window.wpunet.choose(true)", variant="tonal")
            VBtn("Try it with the phantom", click=phantom, variant="tonal")


def dialogs(page: Any, do: Actions) -> None:
    """Questions, and the keys."""
    with VDialog(v_model=(page.ask,), max_width=460), VCard():
        VCardTitle("Replace your corrections?")
        VCardText(f"{{{{ {page.instead} }}}} would take their place. They are not saved, and that cannot be undone.")
        with VCardActions():
            VBtn("Keep my corrections", click=(do.question.answer, "[false]"))
            VBtn("Replace them", click=(do.question.answer, "[true]"), color="primary")
    with VDialog(model_value=(f"{page.choices}.length > 0",), persistent=True, max_width=640), VCard():
        VCardTitle("Several CTs were found: which one?")
        with VList(classes="choices"):
            VListItem(
                v_for=f"choice in {page.choices}",
                key="choice.value",
                title=("choice.title",),
                click=(do.reception.choose, "[choice.value]"),
            )
        with VCardActions():
            VBtn("None of them", click=f"{page.choices} = []")
    with VDialog(v_model=(page.unnamed,), max_width=460), VCard():
        VCardTitle("What is this case called?")
        with VCardText(classes="text-body-2"):
            html.P("The file does not say. The name stands on the page and in what is saved.")
            VTextField(
                v_model=(page.name,),
                label="Name of the case",
                autofocus=True,
                hide_details=True,
                classes="mt-3",
                keydown_enter=(do.name_case, f"[{page.name}]"),
                __events=[ENTER],
            )
        with VCardActions():
            VBtn("Use this name", click=(do.name_case, f"[{page.name}]"), color="primary")
    with VDialog(v_model=(page.help,), max_width=680), VCard():
        VCardTitle("Keys and mouse")
        with VCardText(), VTable(density="compact"), html.Tbody():
            for key, what in KEYS:
                with html.Tr():
                    html.Td(key, style="white-space: nowrap")
                    html.Td(what)
        VCardText(USE, classes="text-caption")
        with VCardActions():
            VBtn("Close", click=f"{page.help} = false", color="primary")
