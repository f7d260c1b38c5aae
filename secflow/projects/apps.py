from django.apps import AppConfig
from django.db.models.signals import post_migrate


class ProjectsConfig(AppConfig):
    """Who belongs to which project, and which roles there are."""

    name = "secflow.projects"
    label = "projects"
    verbose_name = "Projects"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from secflow.projects.roles import ensure_roles

        post_migrate.connect(ensure_roles, sender=self)
