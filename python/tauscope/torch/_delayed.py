"""`Delayed`: an optimizer whose gradients arrive late.

Not here: the weight versions and the process that they follow (`tauscope.torch._strand`).
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any, Dict, List, Optional, Union

import torch

from tauscope import DelayProcess
from tauscope._process import process_of
from tauscope.torch._decay import check_decay, decay_where_read
from tauscope.torch._strand import Mixed, Strand, strand_of

#: Key of a state dict under which the ring stands.
_KEY = "delayed"

#: Arguments that say the delays.
_DELAYS = "delay=, schedule=, trace= and stages="

#: Optimizers inside a `Delayed`.
_WRAPPED: "weakref.WeakSet[torch.optim.Optimizer]" = weakref.WeakSet()


def is_wrapped(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a `Delayed` has this optimizer inside."""
    return optimizer in _WRAPPED


class Delayed(torch.optim.Optimizer):
    """Wraps an optimizer: gradients are taken at the weights that a delay process says, and applied to the newest ones.

    Between two steps the parameters hold the weights that the next gradient is to be taken at, so forward and backward need
    no change. `step()` puts the newest weights in their place, lets the wrapped optimizer update them, and then loads the
    weights of the next gradient. The slots are those of `tauscope train` with the same process and seed.

    A ring holds as many copies of the trained weights as the process has slots, beside the parameters: delay + 1 for a fixed
    delay or so many workers, the longest delay + 1 for a trace. With `stages` each parameter group has its own delay + 1.

    Args:
        optimizer: Any `torch.optim.Optimizer` whose `step()` needs no closure. Its parameter groups and its state stay its
            own; learning rate schedulers may be given either of the two optimizers.
        delay: Delay in updates, where the process takes one; 0 is synchronous.
        schedule: Process as typed after `--schedule` ("round-robin" by default, "random", "workers:exponential",
            "iid:geometric", ...), or a `tauscope.DelayProcess`, which is followed from its first step.
        trace: Recorded delays, one per update, over and over: numbers or a file.
        stages: Delay of each parameter group, in updates, instead of one for all.
        mixing: Mixes late results instead of adding late gradients: the wrapped optimizer steps at the weights that were read, with
            the state that belongs to them, and the newest weights and state take in this share of where that led. A number above
            0 and at most 1, "1/T" (one over the mean delay plus one) or "age" (one over the delay of each result plus one).
            The ring then holds the optimizer's state too. Its counts of steps are mixed as well.
        horizon: Weight prediction: gradients are taken at `x + horizon (x - x_before)`, the weights expected so many updates later. A
            number from 0 on, or "delay", the mean delay. The ring has one copy more.
        seed: Seed of the draws.
        device: Where the ring is; by default beside each parameter. "cpu" spares the memory of a GPU for copies at each step.
        decay_at: Weights that the optimizer's `weight_decay` is taken at, where it is part of the gradient: "newest", as the
            wrapped optimizer does it, or "read", those of the gradient, as the engines of tauscope do it. Decoupled decay
            (AdamW) acts on the newest weights always.

    Raises:
        ValueError, TypeError: Arguments that do not go together; the message says what would be accepted.
        MemoryError: A ring that is larger than the free memory, before any of it is allocated.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        delay: Optional[int] = None,
        *,
        schedule: Union[str, DelayProcess, None] = None,
        trace: Union[str, PathLike[str], Sequence[int], None] = None,
        stages: Optional[Sequence[int]] = None,
        mixing: Union[float, str, None] = None,
        horizon: Union[float, str, None] = None,
        seed: int = 0,
        device: Union[str, torch.device, None] = None,
        decay_at: str = "newest",
    ) -> None:
        _check_optimizer(optimizer)
        _check_remedies(mixing, horizon, stages)
        check_decay(decay_at, optimizer)
        self._decay_at = decay_at
        self._seed = seed
        self._device = _device(device)
        if stages is None:
            process = process_of(delay, schedule, trace, seed, _DELAYS)
            self._strands = [strand_of(process, self._device, optimizer, mixing, horizon)]
        else:
            self._strands = [Strand(process, self._device) for process in _stages(stages, optimizer, delay, schedule, trace)]
        self._staged = stages is not None
        self._steps = 0
        self._at_newest = 0
        # What the base class does with groups is left to the wrapped optimizer, whose own they are.
        super().__init__(optimizer.param_groups, optimizer.defaults)
        self.optimizer = optimizer
        self._adopt()
        _WRAPPED.add(optimizer)

    @property
    def param_groups(self) -> List[Dict[str, Any]]:
        """Parameter groups of the wrapped optimizer."""
        return self.optimizer.param_groups if "optimizer" in self.__dict__ else []

    @param_groups.setter
    def param_groups(self, groups: List[Dict[str, Any]]) -> None:
        if "optimizer" in self.__dict__:
            self.optimizer.param_groups = groups

    @property
    def state(self) -> Any:
        """State of the wrapped optimizer."""
        return self.optimizer.state

    @state.setter
    def state(self, state: Any) -> None:
        if "optimizer" in self.__dict__:
            self.optimizer.state = state

    @property
    def delays(self) -> List[int]:
        """Updates made since the weights that the parameters hold now; one number, or one for each stage."""
        return [strand.delay for strand in self._strands]

    @property
    def process(self) -> Optional[DelayProcess]:
        """The process that the delays come from, as far as it is drawn; None with stages, which have one each."""
        return None if self._staged else self._strands[0].process

    @property
    def remedy(self) -> Dict[str, Union[float, str]]:
        """`mixing` or `horizon` as they were given; empty where late gradients are added as they are."""
        return dict(self._strands[0].remedy)

    @property
    def steps(self) -> int:
        """Number of updates made."""
        return self._steps

    @property
    def ring_bytes(self) -> int:
        """Bytes of all stored versions: of the weights, and with `mixing` of the optimizer's state."""
        return sum(strand.bytes for strand in self._strands)

    def __repr__(self) -> str:
        processes = ", ".join(strand.process.schedule for strand in self._strands)
        processes += "".join(f", {name} {value}" for name, value in self.remedy.items())
        return f"Delayed({processes}; {self._steps} steps, delays {self.delays} now) of {self.optimizer!r}"

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("Delayed cannot be copied or pickled; accepted: its state_dict()")

    def zero_grad(self, *args: Any, **kwargs: Any) -> None:
        """As of the wrapped optimizer."""
        self.optimizer.zero_grad(*args, **kwargs)

    @torch.no_grad()
    def step(self, closure: Any = None, **kwargs: Any) -> Any:
        """Applies the gradients to the newest weights, and loads those that the next gradient is to be taken at.

        Raises:
            TypeError: A closure, which would take gradients at the newest weights.
            RuntimeError: Inside `server()`, or parameters that were written since the latest step, a change that would be
                lost.
        """
        if closure is not None:
            raise TypeError(
                "Delayed.step takes no closure, which would take its gradient at the newest weights; "
                "accepted: loss.backward(), then step()"
            )
        if self._at_newest:
            raise RuntimeError("Delayed.step inside server(), where there are no gradients to wait for; accepted: outside it")
        self._adopt()
        for strand in self._strands:
            strand.check_untouched()
        # What mixes steps at the weights that were read.
        decay_at = "newest" if isinstance(self._strands[0], Mixed) else self._decay_at
        with decay_where_read(self.optimizer, decay_at, self._newest_and_read):
            for strand in self._strands:
                strand.load_for_update()
            try:
                result = self.optimizer.step(**kwargs)
            except BaseException:
                for strand in self._strands:
                    strand.load_read(always=True)
                raise
        for strand in self._strands:
            strand.write()
        self._steps += 1
        return result

    @contextmanager
    def server(self) -> Iterator[None]:
        """Puts the newest weights into the parameters, for an evaluation or to save the model.

        What is written to the parameters inside becomes part of the newest weights, also through `.data`. Outside, what is
        written through `.data` is not noticed by PyTorch, hence neither refused nor kept.
        """
        self._adopt()
        if not self._at_newest:
            for strand in self._strands:
                strand.check_untouched()
                strand.load_newest()
        self._at_newest += 1
        try:
            yield
        finally:
            self._at_newest -= 1
            if not self._at_newest:
                for strand in self._strands:
                    strand.keep_changes()
                    strand.load_read()

    def add_param_group(self, param_group: Dict[str, Any], delay: Optional[int] = None) -> None:
        """Adds a group to the wrapped optimizer; all its versions begin as what its parameters are now.

        Args:
            param_group: As for any optimizer.
            delay: Delay of its stage in updates, with `stages`.
        """
        if "optimizer" not in self.__dict__:
            return
        if self._staged != (delay is not None):
            accepted = "with the delay of its stage" if self._staged else "without delay, which stages alone have"
            raise ValueError(f"add_param_group with delay {delay}; accepted: {accepted}")
        strand = None if delay is None else Strand(process_of(delay, None, None, 0, _DELAYS), self._device)
        if strand is not None:
            strand.skip(self._steps)
        self.optimizer.add_param_group(param_group)
        if strand is not None:
            self._strands.append(strand)
        self._adopt()

    def state_dict(self) -> Dict[str, Any]:
        """State of the wrapped optimizer, and under "delayed" the whole ring and the place in the process.

        With it a training goes on as if it had never stopped, whatever weights the model holds when it is loaded. As in
        PyTorch its tensors are no copies.
        """
        self._adopt()
        if self._at_newest:
            for strand in self._strands:
                strand.keep_changes()
        places = self._places()
        return {
            **self.optimizer.state_dict(),
            _KEY: {"steps": self._steps, "decay_at": self._decay_at, "strands": [strand.state(places) for strand in self._strands]},
        }

    def _places(self) -> Dict[int, int]:
        """Place of each parameter among those of all groups, by its id."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        places: Dict[int, int] = {}
        for place, parameter in enumerate(parameters):
            places.setdefault(id(parameter), place)
        return places

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Goes on from a state that `state_dict` gave, and puts the weights of the next gradient into the parameters.

        Raises:
            ValueError: A state without a ring, of another process, or of other parameters. Nothing is changed then.
            RuntimeError: Inside `server()`.
        """
        if self._at_newest:
            raise RuntimeError("Delayed.load_state_dict inside server(), which would put late weights there; accepted: outside it")
        self._adopt()
        state = state_dict.get(_KEY) if isinstance(state_dict, dict) else None
        if not isinstance(state, dict) or "strands" not in state or "steps" not in state:
            raise ValueError("the state has no ring; accepted: what Delayed.state_dict() gave")
        saved, steps, places = state["strands"], state["steps"], self._places()
        if not isinstance(saved, list) or isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps < 2**63:
            raise ValueError(f"the state has {steps!r} steps and a ring of type {type(saved).__name__}; accepted: what Delayed.state_dict() gave")
        decay_at = state.get("decay_at", self._decay_at)
        if decay_at != self._decay_at:
            raise ValueError(f"the state is of decay_at {decay_at!r}; accepted: {self._decay_at!r}, as here")
        if len(saved) != len(self._strands):
            raise ValueError(f"the state has {len(saved)} stages; accepted: {len(self._strands)}, as here")
        try:
            moved = [strand.moved_to(found, steps, places) for strand, found in zip(self._strands, saved)]
        except (AttributeError, IndexError, KeyError, OverflowError, TypeError) as error:
            raise ValueError(f"the state is damaged ({error}); accepted: what Delayed.state_dict() gave") from error
        self.optimizer.load_state_dict({key: value for key, value in state_dict.items() if key != _KEY})
        for strand, found, (process, order) in zip(self._strands, saved, moved):
            strand.restore(found, process, order)
        self._steps = steps

    def _adopt(self) -> None:
        """Takes in parameters that are trained and have no versions yet: new ones, and those that were frozen before."""
        if self._staged and len(self.optimizer.param_groups) != len(self._strands):
            groups = len(self.optimizer.param_groups)
            raise RuntimeError(
                f"{groups} parameter groups for {len(self._strands)} stages; accepted: groups added with Delayed.add_param_group(group, delay=)"
            )
        for index, group in enumerate(self.optimizer.param_groups):
            strand = self._strands[index if self._staged else 0]
            new = [p for p in group["params"] if p not in strand.ring and (p.requires_grad or p.grad is not None)]
            if new:
                strand.add(new)

    def _newest_and_read(self, parameter: torch.Tensor) -> Optional["tuple[torch.Tensor, torch.Tensor]"]:
        for strand in self._strands:
            if parameter in strand.ring:
                return strand.ring.version(parameter, strand.newest), strand.ring.version(parameter, strand.read)
        return None


def _device(given: Union[str, torch.device, None]) -> Optional[torch.device]:
    if given is None:
        return None
    accepted = "accepted: a device of torch that is here, as 'cpu', or None"
    try:
        device = torch.device(given)
    except (RuntimeError, TypeError):
        raise ValueError(f"device {given!r}; {accepted}") from None
    if device.type == "meta":
        raise ValueError("device meta has no numbers; accepted: a device that has, or None")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise ValueError(f"device {given!r}, which this machine does not have; {accepted}")
    return device


def _check_remedies(mixing: object, horizon: object, stages: object) -> None:
    given = [name for name, value in (("mixing", mixing), ("horizon", horizon)) if value is not None]
    if len(given) == 2:
        raise ValueError("mixing beside horizon; accepted: one of them")
    if given and stages is not None:
        raise ValueError(f"{given[0]} beside stages; accepted: one delay process for all parameters")


def _stages(
    stages: Sequence[int], optimizer: torch.optim.Optimizer, *others: Any
) -> List[DelayProcess]:
    if any(other is not None for other in others):
        raise ValueError("delay, schedule or trace beside stages, which say the delays; accepted: one of them")
    if not hasattr(stages, "__len__"):
        raise TypeError(f"stages {stages!r}; accepted: a delay for each parameter group, in a list")
    if len(stages) != len(optimizer.param_groups):
        groups = len(optimizer.param_groups)
        raise ValueError(f"{len(stages)} stages for {groups} parameter groups; accepted: a delay for each group")
    return [process_of(delay, None, None, 0, _DELAYS) for delay in stages]


def _check_optimizer(optimizer: torch.optim.Optimizer) -> None:
    if isinstance(optimizer, Delayed):
        raise TypeError("optimizer: already Delayed; accepted: the optimizer that it wraps")
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"optimizer: {type(optimizer).__name__}; accepted: a torch.optim.Optimizer")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        name = type(optimizer).__name__
        raise TypeError(f"{name} takes its gradients in a closure, several a step; accepted: optimizers whose step() needs none")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if not parameters:
        raise ValueError("optimizer: it has no parameters; accepted: at least one")
    for parameter in parameters:
        if parameter.device.type == "meta":
            raise ValueError(
                f"optimizer: a parameter of shape {tuple(parameter.shape)} on the device meta, which has no numbers; "
                "accepted: parameters with numbers"
            )
