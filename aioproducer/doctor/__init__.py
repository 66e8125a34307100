"""The doctor: looks at a configuration and the cluster it is for, before production does."""

from aioproducer.doctor.check import check_setup
from aioproducer.doctor.report import Finding, SetupReport, Severity, Unchecked

__all__ = ["Finding", "SetupReport", "Severity", "Unchecked", "check_setup"]
