"""Networks that another package offers: their options, and which of them a run needs."""

from __future__ import annotations

import pickle
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest
from pydantic import Field

from fitter.config import networks
from fitter.config.networks import NetworkOffer, NetworkOptions, OfferedNetwork, load_offer
from fitter.config.options import Config, InitConfig, load_config
from fitter.errors import InputError
from tests.support.errors import raises


class Options(NetworkOptions):
    seer: str | None = Field("built in", description="weights")
    painter: str | None = Field(None, description="weights")
    steps: int = Field(3, ge=1, description="of the seer")

    def with_absolute_paths(self) -> Self:
        if self.painter is None:
            return self
        return self.model_copy(update={"painter": str(Path(self.painter).absolute())})


OFFER = NetworkOffer(
    Options,
    (
        OfferedNetwork("seer", "initialisation", sees_images=True),
        OfferedNetwork("painter", "mask", sees_images=True),
    ),
    "math:sqrt",
)


@pytest.fixture(autouse=True)
def offered(monkeypatch):
    mine = SimpleNamespace(name="mine", load=lambda: OFFER)
    points = (*entry_points(group=networks.ENTRY_POINTS), mine)
    monkeypatch.setattr(networks, "entry_points", lambda group: points)
    load_offer.cache_clear()
    yield
    load_offer.cache_clear()


def configured(**init: object) -> Config:
    return Config(init=InitConfig.model_validate({"networks": "mine", **init}))


def test_options_have_their_defaults_and_their_type():
    config = configured(steps=5)
    assert config.init.options == Options(steps=5)
    resolved = {"source": "network", "networks": "mine", "seer": "built in", "painter": None}
    assert config.resolved()["init"] == {**resolved, "steps": 5}
    assert Config.model_validate(config.resolved()) == config
    assert pickle.loads(pickle.dumps(config)) == config
    assert config.init.offer.load()(9) == 3


def test_a_run_needs_the_networks_that_it_uses():
    def asked(config: Config) -> list[str]:
        return [network.name for network in config.asked_networks]

    assert asked(configured()) == ["seer"] and configured().needs_crops
    assert asked(configured(painter="w", seer=None)) == ["painter"]
    both = configured(painter="w", source="keypoints")
    assert asked(both) == ["painter"] and both.finds_masks
    assert not configured().finds_masks
    assert asked(configured(source="keypoints")) == []


def test_paths_become_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    init = configured(painter="w").with_absolute_paths().init.options
    assert init == Options(painter=str(tmp_path / "w"))


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("init.lifter=shipped", "init.lifter: expected init.networks=init_net as well"),
        ("init.lift=shipped", "unknown option 'init.lift'"),
        ("init.sear=x", "did you mean 'seer'?"),
        ("init.steps=0", "init.steps must be greater than or equal to 1, found 0"),
        ("init.steps=many", "init.steps must be a whole number, found 'many'"),
    ],
)
def test_what_the_offer_does_not_know_is_refused(option, said):
    with pytest.raises(InputError) as error:
        load_config(None, ["init.networks=mine", option])
    assert said in str(error.value)


def test_nobody_offers_them():
    known = "init_net, mine, s2hand, wsim, zhao"
    with raises("network.not_offered", file="init.networks", known=known, found="yours"):
        load_config(None, ["init.networks=yours"])
