from odoo.addons.auth_integration.tools.attempt import cause_texts, causes


def test_the_guide_says_something_of_each_cause_that_the_screen_does_not():
    for cause in causes.CAUSES.values():
        text = cause_texts.guide(cause.code)
        assert text not in (cause.explanation, cause.remedy)
        assert len(text) < 300, cause.code
    assert set(cause_texts._GUIDE) == set(causes.CAUSES)


def test_owners_are_told_whom_to_ask():
    assert set(cause_texts._OWNER_REMEDIES) <= set(causes.CAUSES)
    for code in causes.CAUSES:
        text = cause_texts.owner_remedy(code)
        assert "add it to the allowed networks" not in text
        assert "Users & Companies" not in text
