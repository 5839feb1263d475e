"""Every setting, once: each is a flag (`--silence-ms 900`), an environment variable (`COLLOQUY_SILENCE_MS`) or a line of
`colloquy.toml`, in this order of precedence, with the sentence of help that the command line and the page show.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from backend.turns import Rules

Probability = Annotated[float, Field(gt=0, lt=1)]


class ModelConfiguration(BaseModel):
    """A dialogue model by name: `[models.NAME]` in the settings file."""

    url: str = Field(description="Where an OpenAI-compatible server with audio input listens, such as http://gpu:8000.")
    model: str = Field("", description="The model's name at that server; by default the only one that it serves.")
    key: SecretStr = Field(SecretStr(""), description="The server's key, where it wants one.")
    temperature: float = Field(0.7, ge=0, le=2, description="Sampling temperature.")
    top_p: float = Field(0.9, gt=0, le=1, description="Nucleus sampling: the share of probability that is drawn from.")
    max_tokens: int = Field(2048, gt=0, description="The longest reply, its reasoning included, in tokens.")
    starts_thinking: bool = Field(
        False, description="What the server streams as content begins within the reasoning, without an opening <think>."
    )
    extra: dict[str, Any] = Field(default_factory=dict, description="Goes into each request as it is (stop_token_ids, …).")


class TurnTaking(BaseModel):
    """When a turn begins and ends."""

    start_probability: Probability = Field(
        0.5, description="Speech begins when the detector is at least this sure of it. Raise it in a noisy room."
    )
    end_probability: Probability = Field(
        0.35, description="Speech goes on while the detector is at least this sure of it; lower than the start."
    )
    duck_probability: Probability = Field(
        0.3, description="A reply is lowered at sounds that are speech with at least this probability; lower than the start."
    )
    min_speech_ms: int = Field(250, ge=32, le=2000, description="Sounds shorter than this are no turn.")
    silence_ms: int = Field(
        700, ge=100, le=5000, description="So much silence ends your turn. Raise it if you are cut off while you think."
    )
    preroll_ms: int = Field(300, ge=0, le=2000, description="So much of what came before the speech is kept with it.")
    longest_turn_ms: int = Field(60_000, ge=1000, le=600_000, description="A turn that gets this long is over.")
    continuation_ms: int = Field(
        800, ge=0, le=5000, description="Going on within this time after your turn was judged over makes it one turn."
    )
    confirm_ms: int = Field(
        300, ge=32, le=2000, description="So much speech interrupts a reply; less (a cough, an “mm-hm”) only lowers it."
    )
    restore_ms: int = Field(250, ge=32, le=2000, description="After a cough and so much silence the reply's volume comes back.")
    stall_ms: int = Field(1000, ge=100, le=10_000, description="A microphone that sends nothing for so long ends the turn.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if max(self.end_probability, self.duck_probability) > self.start_probability:
            raise ValueError("end_probability and duck_probability must not be above start_probability")
        return self

    def rules(self, *, hold: bool = False) -> Rules:
        numbers = {name: getattr(self, name) for name in TurnTaking.model_fields if name != "stall_ms"}
        return Rules(hold=hold, **numbers)


class Settings(BaseSettings, TurnTaking):
    """The settings of the app."""

    model_config = SettingsConfigDict(
        env_prefix="COLLOQUY_",
        env_nested_delimiter="__",
        toml_file="colloquy.toml",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        extra="forbid",
    )

    host: str = Field("127.0.0.1", description="The address to serve on. Off this machine a microphone needs HTTPS.")
    port: int = Field(7860, ge=0, le=65535, description="The port to serve on.")
    data_dir: Path = Field(Path("data"), description="The folder that keeps conversations and their sound.")
    api_key: SecretStr = Field(SecretStr(""), description="With a key, everything is behind a login.")
    public_host: str = Field("", description="The name under which a proxy serves the page; needed where there is no key.")
    tls_cert: Path | None = Field(None, description="A certificate (PEM), to serve HTTPS.")
    tls_key: Path | None = Field(None, description="The certificate's key (PEM).")

    model_url: str = Field("", description="A dialogue model's server; without one the offline rehearsal partner answers.")
    model: str = Field("", description="The model's name at that server; by default the only one that it serves.")
    model_key: SecretStr = Field(SecretStr(""), description="The key of the model's server.")
    models: dict[str, ModelConfiguration] = Field(
        default_factory=dict, description="Named dialogue models; the first one answers."
    )
    system_prompt: str = Field(
        "You are a friendly partner in a spoken conversation. Answer briefly and naturally.",
        description="What the model is told about its part, before the conversation.",
    )

    speaker: Literal["espeak", "none"] = Field("espeak", description="The speech engine; “none” shows replies as text only.")
    voice: str = Field("", description="The voice; by default the engine's first.")
    speed: float = Field(1.0, ge=0.5, le=2, description="How fast the voice speaks; 1 is its own pace.")
    reconnect_s: float = Field(30, ge=0, le=600, description="How long a session waits for a page that went away.")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("--tls-cert and --tls-key go together")
        if self.model_url:
            configuration = ModelConfiguration(url=self.model_url, model=self.model, key=self.model_key)
            self.models = {"default": configuration, **self.models}
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)


class ExportSettings(Settings):
    """Write the preference set."""

    out: Path = Field(description="The folder to write to; it must not exist yet, or be empty.")
    include_offline: bool = Field(False, description="Also export replies of the offline rehearsal partner, marked as such.")
