"""What is stored of the ``User-Agent`` header, whose content callers choose."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.auth_integration.tools.attempt import user_agent as user_agents

KEY = "0123456789abcdef0123456789abcdef01234567"
texts = st.text(st.characters(exclude_categories=()), max_size=300)
# A typical password: letters and digits in one word.
passwords = st.from_regex(r"[A-Za-z]{3,8}[0-9]{1,4}[A-Za-z!#]{2,6}", fullmatch=True)


@pytest.mark.parametrize(
    "agent",
    [
        "curl/7.88.1",
        "python-requests/2.31.0",
        "okhttp/4.12.0",
        "GuzzleHttp/7",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:109.0) Gecko/20100101 Firefox/115.0",
        "Magento Connector v2/1.4-beta",
    ],
)
def test_usual_agents_are_kept(agent):
    assert user_agents.describe(agent) == agent


@pytest.mark.parametrize("agent", [None, False, "", "  \t", 17, b"curl/8", ["curl"]])
def test_no_text_is_no_agent(agent):
    assert user_agents.describe(agent) is None


@given(texts, st.integers(1, 250))
def test_result_is_short_and_safe_in_a_log_line(agent, limit):
    described = user_agents.describe(agent, limit)
    assert described is None or len(described) <= limit
    assert described is None or (described.isprintable() and "\u202e" not in described)


@given(texts, texts)
def test_no_key_is_kept_wherever_it_stands(before, after):
    assert KEY not in (user_agents.describe(f"{before} {KEY} {after}", 1000) or "")


@given(passwords, st.sampled_from(["{}", "curl/8.0 {}", "{} curl/8.0", "x: {}", "key={}"]))
def test_no_password_is_kept_beside_the_name(password, agent):
    assert password not in user_agents.describe(agent.format(password))


def test_length_of_a_word_is_told():
    assert user_agents.describe("curl/8.0 Tr0ub4dor&3") == "curl/8.0 [11 characters]"
