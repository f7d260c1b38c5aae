from django.apps import AppConfig


class WorkflowsConfig(AppConfig):
    """The engine: instances, nodes, runs, and what is observed of them."""

    name = "workflows"
    verbose_name = "Workflows"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Templates live below the engine and must not import it: they ask through this finder who uses them.
        from templates_app.references import register_finder
        from workflows.selectors.references import instances_using_template

        register_finder(instances_using_template)
