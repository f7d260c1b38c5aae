from django.apps import AppConfig


class ProjectsConfig(AppConfig):
    """Who belongs to which project."""

    name = "secflow.projects"
    label = "projects"
    verbose_name = "Projects"
    default_auto_field = "django.db.models.BigAutoField"
