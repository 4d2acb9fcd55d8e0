"""The environment is read once, and a contradiction in it stops the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.settings import BadSettings, Credential, Settings


def test_an_empty_environment_is_a_laptop() -> None:
    settings = Settings.from_env({})
    assert settings.local
    assert settings.public_url == "http://127.0.0.1:8080"
    assert settings.data == Path("data")


@pytest.mark.parametrize(
    "name", ["DARKROOM_BUCKET", "DARKROOM_FIRESTORE_DATABASE", "DARKROOM_TOPIC_PREFIX"]
)
def test_any_cloud_name_is_not_a_laptop(name: str) -> None:
    assert not Settings.from_env({name: "darkroom-"}).local


def test_a_provider_is_its_key_and_its_address() -> None:
    settings = Settings.from_env(
        {"GEMINI_API_KEY": "k", "GEMINI_BASE_URL": "http://127.0.0.1:9000/google/"}
    )
    assert settings.credentials["GEMINI"] == Credential("k", "http://127.0.0.1:9000/google")


def test_a_provider_may_sign_what_it_sends() -> None:
    settings = Settings.from_env({"GEMINI_WEBHOOK_SECRET": "whsec_aGlkZGVu"})
    assert settings.credentials["GEMINI"].webhook_secret == "whsec_aGlkZGVu"
    assert "aGlkZGVu" not in repr(settings)


def test_an_empty_variable_is_an_unset_one() -> None:
    assert Settings.from_env({"DARKROOM_BUCKET": "", "GEMINI_API_KEY": ""}).credentials == {}


def test_origins_are_listed_with_commas() -> None:
    listed = "https://app.example, http://localhost:3000,http://[::1]:80,capacitor://localhost"
    assert Settings.from_env({"DARKROOM_CORS_ORIGINS": listed}).cors_origins == (
        "https://app.example",
        "http://localhost:3000",
        "http://[::1]:80",
        "capacitor://localhost",
    )
    assert Settings.from_env({"DARKROOM_CORS_ORIGINS": "*"}).cors_origins == ("*",)
    assert Settings.from_env({"DARKROOM_CORS_ORIGINS": " "}).cors_origins == ()


@pytest.mark.parametrize(
    ("env", "reason"),
    [
        ({"PORT": "eighty"}, "PORT"),
        ({"PORT": "70000"}, "PORT"),
        ({"DARKROOM_TEST_KEY": "dk_live_x"}, "dk_test_"),
        (
            {
                "DARKROOM_BUCKET": "b",
                "DARKROOM_ALLOW_PRIVATE_URLS": "1",
            },
            "DARKROOM_ALLOW_PRIVATE_URLS",
        ),
        ({"DARKROOM_UPLOADS_BUCKET": "b"}, "DARKROOM_UPLOADS_BUCKET"),
        (
            {
                "DARKROOM_TOPIC_PREFIX": "darkroom-",
                "DARKROOM_ALLOW_PRIVATE_URLS": "1",
            },
            "DARKROOM_ALLOW_PRIVATE_URLS",
        ),
        ({"DARKROOM_TOPIC_PREFIX": "goog-"}, "DARKROOM_TOPIC_PREFIX"),
        ({"DARKROOM_TOPIC_PREFIX": "1st-"}, "DARKROOM_TOPIC_PREFIX"),
        ({"DARKROOM_TOPIC_PREFIX": "a/b"}, "DARKROOM_TOPIC_PREFIX"),
        ({"DARKROOM_LOG_LEVEL": "loud"}, "DARKROOM_LOG_LEVEL"),
        ({"DARKROOM_PUBLIC_URL": "pictures.example"}, "DARKROOM_PUBLIC_URL"),
        ({"DARKROOM_PUBLIC_URL": "https://user:secret@a.example"}, "DARKROOM_PUBLIC_URL"),
        ({"DARKROOM_PUBLIC_URL": "https://a.example;script-src *"}, "DARKROOM_PUBLIC_URL"),
        ({"DARKROOM_PUBLIC_URL": 'https://a.example/"><script>'}, "DARKROOM_PUBLIC_URL"),
        ({"DARKROOM_PUBLIC_URL": "https://bücher.example"}, "DARKROOM_PUBLIC_URL"),
        ({"GEMINI_BASE_URL": "localhost:9000"}, "_BASE_URL"),
        ({"GEMINI_WEBHOOK_SECRET": "whsec_?"}, "_WEBHOOK_SECRET"),
        ({"DARKROOM_CORS_ORIGINS": "https://app.example/"}, "DARKROOM_CORS_ORIGINS"),
        ({"DARKROOM_CORS_ORIGINS": "https://app.example,"}, "DARKROOM_CORS_ORIGINS"),
        ({"DARKROOM_CORS_ORIGINS": "app.example"}, "DARKROOM_CORS_ORIGINS"),
        ({"DARKROOM_CORS_ORIGINS": "https://App.example"}, "DARKROOM_CORS_ORIGINS"),
        ({"DARKROOM_CORS_ORIGINS": "https://*.app.example"}, "DARKROOM_CORS_ORIGINS"),
        ({"DARKROOM_CORS_ORIGINS": "https://me@app.example"}, "DARKROOM_CORS_ORIGINS"),
        ({"DARKROOM_CORS_ORIGINS": "null"}, "DARKROOM_CORS_ORIGINS"),
    ],
)
def test_a_contradiction_stops_the_start(env: dict[str, str], reason: str) -> None:
    with pytest.raises(BadSettings, match=reason):
        Settings.from_env(env)


def test_no_secret_shows_in_the_settings() -> None:
    settings = Settings.from_env({"GEMINI_API_KEY": "hidden", "DARKROOM_SIGNING_SECRET": "hidden"})
    assert "hidden" not in repr(settings)


@pytest.mark.parametrize(
    ("env", "public_url"),
    [
        ({"HOST": "::1", "PORT": "8090"}, "http://[::1]:8090"),
        ({"DARKROOM_PUBLIC_URL": "https://a.example:8443/below/"}, "https://a.example:8443/below"),
        ({"DARKROOM_PUBLIC_URL": "http://darkroom_app"}, "http://darkroom_app"),
    ],
)
def test_the_public_url_is_as_links_begin(env: dict[str, str], public_url: str) -> None:
    assert Settings.from_env(env).public_url == public_url
