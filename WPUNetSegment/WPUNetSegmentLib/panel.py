"""The panel: what each widget does, and what it shows while nothing runs, while a run goes on, and after it."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin
from wpunet.errors import Cancelled, InstallError, WpunetError

from . import (
    documents,
    handover,
    install,
    keyboard,
    marks,
    messages,
    outlook,
    questions,
    review,
    sample,
    scene,
    training_case,
    transforms,
)
from .parameters import options_of
from .results import Results
from .run import Progress, Run, State

POLL_MS = 100
DOUBLE_CLICK_SECONDS = 0.5  # its second click does not cancel what the first one started
BOXES = ("welcomeFrame", "warningFrame", "errorFrame")
# Each has the property SlicerParameterName. No other widget is asked for it: the Segment Editor has hundreds inside.
INPUTS = ("ctSelector", "segmentationSelector")
OPTIONS = (
    "deviceBox",
    "regionSelector",
    "minTumorBox",
    "sidesBox",
    "parenchymaBox",
    "flipsBox",
    "fullBox",
    "uncertaintyBox",
)
OFF = qt.Qt.UserRole - 1  # the role of an item's flags in a combo box: 0 switches it off


class Panel(VTKObservationMixin):
    """Between the widgets of ``WPUNetSegment.ui``, the parameters in the scene and the logic.

    run: the run that goes on, or None
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        super().__init__()
        self.ui, self.logic = ui, logic
        self.parameters: Any = None
        self.run: Run | None = None
        self._connected: int | None = None
        self._replace: bool | None = None  # what the user has edited, as it was when he was asked:
        self._asked_of: dict[str, list[str]] = {}
        self._ct: Any = None  # whose result the selector shows
        self._target: Any = None  # where the run's result goes, whatever the selector shows at its end; None: a new one
        self._installing, self._started = False, 0.0
        self._news = ""
        self._document: Any = None  # the window with the licence or the model card
        self.results = Results(ui, self.safely, self._install)
        self._follower = outlook.Follower(self.refresh)
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self.safely(self.poll))
        for name in BOXES:
            messages.style(getattr(ui, name))
        ui.welcomeLabel.text, ui.footerLabel.text = messages.welcome(), messages.footer()
        for label in (ui.welcomeLabel, ui.footerLabel):
            label.connect("linkActivated(QString)", self._show_document)
        ui.acknowledgeButton.connect("clicked()", self.safely(self._acknowledge))
        ui.segmentButton.connect("clicked()", self.safely(self._segment_or_cancel))
        ui.copyErrorButton.connect("clicked()", self._copy_log)
        ui.copyLogButton.connect("clicked()", self._copy_log)
        ui.undoButton.connect("clicked()", self.safely(self._undo))
        ui.saveCaseButton.connect("clicked()", self.safely(self._save_case))
        ui.sampleButton.connect("clicked()", self.safely(self._load_sample))
        ui.regionSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._fit_region)
        ui.correctSection.connect("contentsCollapsed(bool)", self._edit_keys)
        keyboard.reach(ui)
        self._tell()
        self.refresh()

    # parameters in the scene

    def use(self, parameters: Any) -> None:
        """Follow these ``Parameters``, and let the widgets write into them; None: follow none."""
        if parameters is not None and parameters is self.parameters:
            self.refresh()
            return
        if self.parameters is not None:
            self.parameters.disconnectGui(self._connected)
            self.removeObserver(self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._parameters_changed)
        self.parameters = parameters
        self._ct = parameters.ct if parameters else None
        if parameters is not None:
            widgets = [getattr(self.ui, name) for name in (*INPUTS, *OPTIONS)]
            named = {widget.property("SlicerParameterName"): widget for widget in widgets}
            self._connected = parameters.connectParametersToGui(named)
            self.addObserver(parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._parameters_changed)
            self._name_devices()
        self.refresh()

    def _name_devices(self) -> None:
        """What is on this computer; what can never be is off, and its tooltip says why."""
        box = self.ui.deviceBox
        for at, (text, why_off) in enumerate(messages.devices()):
            box.setItemText(at, text)
            box.setItemData(at, why_off or None, qt.Qt.ToolTipRole)
            box.setItemData(at, 0 if why_off else None, OFF)

    def _parameters_changed(self, _caller: Any = None, _event: str = "") -> None:
        self._news = ""
        self._follow_ct()
        self._fit_region(self.parameters.region)
        self.refresh()

    def _follow_ct(self) -> None:
        """Another CT comes with its own result, or with a new one."""
        chosen = self.parameters
        if chosen.ct is not self._ct and not slicer.mrmlScene.IsBatchProcessing():  # a scene brings its own choice
            self._ct = chosen.ct
            chosen.segmentation = scene.result_for(chosen.ct, chosen.segmentation)

    def _fit_region(self, region: Any) -> None:
        """A region that was made just now has no size: it begins as the whole CT."""
        if region is not None and self.parameters is not None and self.parameters.ct is not None:
            handover.fit(region, self.parameters.ct)

    def refresh(self) -> None:
        """Make every widget show how things stand."""
        ui, running = self.ui, self.run is not None
        ct = self.parameters.ct if self.parameters else None
        self._follower.follow(ct, self.parameters.region if self.parameters else None)
        stays = running and not self.results.gone  # a run that ends shows its own
        if not stays and self.results.choose(ct, self.parameters.segmentation if self.parameters else None):
            self._tell(self.results.warnings)
        why_off = self._why_off(ct)
        ui.welcomeFrame.visible = not messages.acknowledged()
        ui.segmentButton.enabled = running or not why_off
        ui.segmentButton.text = _("Cance&l") if running else _("Installing…") if self._installing else _("&Segment")
        ui.segmentButton.toolTip = messages.hint(running) if running or not why_off else why_off
        ui.sampleButton.visible = ct is None and not running
        ui.infoLabel.text = "" if running else self._news or why_off or outlook.words(ct, options_of(self.parameters))
        ui.infoLabel.visible = bool(ui.infoLabel.text)
        ui.progressFrame.visible = running
        ui.undoButton.enabled = not running and self.logic.can_undo(self.results.segmentation)
        for widget in (ui.ctSelector, ui.segmentationSelector, ui.optionsSection):
            widget.enabled = not running and not self._installing

    def _why_off(self, ct: Any) -> str:
        """Why Segment cannot be pressed, and what to do; "" where it can."""
        if self._installing:
            return _("What the engine needs is being installed; this takes a minute.")
        if not messages.acknowledged():
            return _("Segment is off until you have read the note above and confirmed it.")
        if ct is None:
            return _("Load a CT to begin, or try it with the sample.")
        if ct.GetAttribute(handover.MAP):
            return _("{name} is a map that this module made, no CT: choose the CT itself.").format(name=ct.GetName())
        return ""

    def _acknowledge(self) -> None:
        messages.acknowledge()
        self.refresh()
        self.ui.segmentButton.setFocus()

    def _show_document(self, address: str) -> None:
        self._document = documents.show(address)

    def _load_sample(self) -> None:
        with messages.busy():
            ct = sample.load()
        if self.parameters is not None:
            self.parameters.ct = ct

    # a run

    def _install(self, device: str) -> None:
        """What a run on ``device`` needs, where it is missing; meanwhile no other click starts pip again."""
        if self._installing:
            raise InstallError("What the engine needs is being installed; wait until it is there.")
        self._installing = True
        self.refresh()
        try:
            install.ensure(device, slicer.util.confirmOkCancelDisplay)
        finally:
            self._installing = False
            self.refresh()

    def _segment_or_cancel(self) -> None:
        if self._installing:
            return
        if self.run is None:
            self._start()
        elif time.monotonic() - self._started > DOUBLE_CLICK_SECONDS:
            self.run.cancel()
            self._progress(self.run.poll())

    def _start(self) -> None:
        chosen = self.parameters
        if chosen is None:
            return
        self._install(chosen.device)
        if self.parameters is not chosen:  # the scene was closed meanwhile
            return
        handover.require_ct(chosen.ct)
        if not transforms.is_rigid(chosen.ct):
            if not questions.harden(chosen.ct):
                return
            with messages.busy():
                chosen.ct.HardenTransform()
        target = chosen.segmentation
        if scene.is_of_another(target, chosen.ct) and not questions.put_into(target, chosen.ct):
            target = None
        if target is not None:
            scene.require_labelmap(target)
        self._target = target
        changed = self.logic.edited(target)
        self._replace = questions.replace(changed) if changed else None
        self._asked_of = marks.state(target) if self._replace else {}
        self._tell()
        self.run = self.logic.start(chosen.ct, options_of(chosen, surface=not self.results.hidden_3d()))
        self._log(_("{name}: started").format(name=chosen.ct.GetName()))
        self._started = time.monotonic()
        self._timer.start()
        self.refresh()
        self.poll()

    def _may_replace(self, changed: list[str]) -> bool:
        """The answer that was given before the run; asked now where changes were made during it."""
        if self._replace is None or (self._replace and marks.state(self._target) != self._asked_of):
            return questions.replace(changed)
        return self._replace

    def poll(self) -> None:
        """See how far the run is; called by the timer."""
        run = self.run
        if run is None or slicer.mrmlScene.IsBatchProcessing():  # a scene that is being loaded lets timers run
            return
        try:
            self._progress(run.poll())
        except Exception:
            run.close()
            self._let_go()
            raise
        if run.state is State.RUNNING:
            return
        try:
            self._log(run.log)
            self.run = None
            self._ended(run)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        """No run goes on any more."""
        self._timer.stop()
        self.run = self._target = None
        self.refresh()

    def _progress(self, at: Progress) -> None:
        self.ui.progressBar.value = round(1000 * at.fraction)
        left = "" if at.seconds_left is None else _(" · {time} left").format(time=outlook.duration(at.seconds_left))
        self.ui.progressLabel.text = at.text + left

    def _ended(self, run: Run) -> None:
        if run.state is State.CANCELLED:
            self._news = _("{message} The scene is as it was.").format(message=run.message)
        elif run.state is State.FAILED:
            self._tell(error=run.message)
        else:
            self._done(run)

    def _done(self, run: Run) -> None:
        """The result into the scene and onto the panel."""
        assert run.result is not None
        chosen = self.parameters
        placed = self.logic.finish(run, self._target, self._may_replace, fresh=True)
        review.show_ct(run.volume)
        if placed is not self._target and run.options.surface and slicer.app.layoutManager() is not None:
            slicer.util.resetThreeDViews()
        if chosen is not None:
            chosen.ct, chosen.segmentation = run.volume, placed
        self.results.choose(run.volume, placed)
        self.results.show_report()
        report = run.result.report
        outlook.learn(run)
        warnings = self.results.warnings
        self._tell(warnings)
        self._log("\n".join([report["runtime"], *warnings, *report["notes"], messages.timing(run.seconds)]))
        self.ui.resultsSection.collapsed = False
        self._news = messages.found(self.results.structures, sum(run.seconds.values()))

    def _undo(self) -> None:
        """The segmentation as it was before the last run; what was changed since goes, too, so that is asked."""
        changed = self.logic.edited(self.results.segmentation)
        if changed and not questions.undo(changed):
            return
        self.logic.undo(self.results.segmentation)
        self._tell()
        self.results.show_report()
        self.refresh()

    # words

    def safely(self, action: Callable[[], None]) -> Callable[[], None]:
        """``action`` with its errors shown on the panel, where Slicer would only print them on its console."""

        def act() -> None:
            try:
                action()
            except Cancelled:
                pass
            except WpunetError as error:
                self._tell(error=str(error))
            except Exception as error:
                self._log(traceback.format_exc())
                self._tell(error=_("Unexpected: {error}. Copy the log and report it.").format(error=error))
                logging.exception("WPUNetSegment")
                raise

        return act

    def _tell(self, warnings: Sequence[str] = (), error: str = "") -> None:
        """What the user has to know, in the boxes below the button; nothing: both go away."""
        ui = self.ui
        ui.warningLabel.text = messages.warnings_html(warnings)
        ui.warningFrame.visible = bool(warnings)
        ui.errorLabel.text = messages.error_text(error)
        ui.errorFrame.visible = bool(error)
        if error:
            self._log(error)

    def _log(self, text: str) -> None:
        if text.strip():
            self.ui.logText.appendPlainText(text.strip())

    def _copy_log(self) -> None:
        slicer.app.clipboard().setText(messages.about() + "\n" + self.ui.logText.plainText)

    def _save_case(self) -> None:
        folder = qt.QFileDialog.getExistingDirectory(
            slicer.util.mainWindow(), _("Folder of training cases"), messages.last_folder()
        )
        if folder:
            messages.remember_folder(folder)
            with messages.busy():
                case = training_case.save(self.results.own_ct, self.results.segmentation, folder)
            left_out = messages.left_out(training_case.left_out(self.results.segmentation))
            self._news = " ".join([_("Saved as {folder}.").format(folder=case), left_out]).strip()
            self.refresh()

    def enter(self) -> None:
        """The module comes into view: the Segment Editor listens to the keyboard while it is open."""
        self._edit_keys(self.ui.correctSection.collapsed)

    def exit(self) -> None:
        """Another module comes into view: no effect of the Segment Editor stays active."""
        self._edit_keys(True)
        self.ui.segmentEditor.removeViewObservations()

    def _edit_keys(self, collapsed: bool) -> None:
        self.ui.segmentEditor.uninstallKeyboardShortcuts()
        if collapsed:
            self.ui.segmentEditor.setActiveEffect(None)  # it would go on drawing at each click, unseen
        else:
            self.ui.segmentEditor.updateEffectList()  # extensions may bring some after the panel was made
            self.ui.segmentEditor.installKeyboardShortcuts()

    def close(self) -> None:
        """Stop the run and let go of everything: the scene or the module closes."""
        self._timer.stop()
        if self.run is not None:
            self.run.close()
            self.run = None
        self.use(None)
        self.results.choose(None, None)
