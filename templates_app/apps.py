from django.apps import AppConfig


class TemplatesConfig(AppConfig):
    """Reusable descriptions of app and job nodes."""

    name = "templates_app"
    verbose_name = "Templates"
    default_auto_field = "django.db.models.BigAutoField"
