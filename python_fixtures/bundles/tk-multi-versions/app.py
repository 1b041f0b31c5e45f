"""An app whose commands tell which core each of its parts gets, when it is loaded and long after."""

import threading

import sgtk

AT_IMPORT = sgtk.CORE_VERSION


class VersionsApp(sgtk.platform.Application):
    """Has the commands `versions`, `in_a_thread`, `project_name`, `fail` and `log`."""

    def init_app(self):
        self.payload = self.import_module("versions")
        for command in (self.versions, self.in_a_thread, self.project_name, self.fail, self.log_something):
            self.engine.register_command(command.__name__, command)

    def versions(self):
        """The core's version as each part of the app sees it: all the same, unless cores are mixed."""
        from tank import late_a
        from tank.util.shotgun import API_VERSION
        import sgtk as late

        return {
            "app": AT_IMPORT,
            "base": self.core_version,
            "late": late.CORE_VERSION,
            "module": late_a.CORE_VERSION,
            "payload": self.payload.late(),
            "hook": self.execute_hook_expression("{self}/versions.py", "late"),
            "engine": self.engine.core_version,
            "client": type(self.shotgun).core_version,
            "library": API_VERSION,
        }

    def in_a_thread(self):
        """The same, on another thread."""
        told = []
        thread = threading.Thread(target=lambda: told.append(self.versions()))
        thread.start()
        thread.join()
        return told[0]

    def project_name(self):
        """What the site says about the engine's project."""
        project = self.context.project["id"]
        return self.shotgun.find_one("Project", [["id", "is", project]], ["name"])["name"]

    def fail(self):
        """Raises an error of its core."""
        raise sgtk.TankError("%s fails on demand" % AT_IMPORT)

    def log_something(self):
        """Logs."""
        self.logger.warning("something of %s", AT_IMPORT)
