from __future__ import annotations

from trainer.model.versions import distributions_for, serving_requirements


class TestServingRequirements:
    def test_the_versions_that_trained_are_pinned_without_local_labels(self) -> None:
        text = serving_requirements({"python": "3.11.7", "torch": "2.13.0+cpu", "numpy": "2.4.6"}, user="", model="")
        assert text == "torch==2.13.0\nnumpy==2.4.6\n"

    def test_the_user_decides_about_a_package_the_user_names(self) -> None:
        user = "# mine\nNumPy>=2  # any\nrequests==2.0\n-f wheels\n"
        text = serving_requirements(
            {"numpy": "2.4.6", "scikit-learn": "1.9.1"}, user=user, model="scikit_learn==1.9.0\n"
        )
        assert text == "NumPy>=2\nrequests==2.0\n-f wheels\nscikit_learn==1.9.0\n"

    def test_hashed_requirements_stay_as_they_are(self) -> None:
        user = "numpy==2.4.6 \\\n    --hash=sha256:00\n"
        assert serving_requirements({"scipy": "1"}, user=user, model="") == user


class TestDistributions:
    def test_a_pickle_in_an_xgboost_job_needs_xgboost_too(self) -> None:
        assert "xgboost" in distributions_for("sklearn", "xgboost")
        assert "xgboost" not in distributions_for("sklearn", "sklearn")

    def test_a_custom_model_needs_the_libraries_of_the_jobs_framework(self) -> None:
        assert "torch" in distributions_for(None, "pytorch")
        assert distributions_for(None, "custom") == ("numpy",)
