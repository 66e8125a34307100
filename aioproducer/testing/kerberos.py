"""A Kerberos realm of the moment: a key distribution centre of MIT's on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path

from aioproducer.testing.cluster import KafkaUnavailableError, wait_until
from aioproducer.testing.java_cluster import free_ports
from aioproducer.testing.supervision import Supervisor, tail

REALM = "AIOPRODUCER.TEST"
_PROGRAMS = ("kdb5_util", "kadmin.local", "krb5kdc", "kinit")
_SYSTEM_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def missing_programs() -> list[str]:
    """Return which of the programs that a realm needs are not here (Debian: krb5-kdc,
    krb5-admin-server, krb5-user)."""
    return [name for name in _PROGRAMS if shutil.which(name, path=_SYSTEM_PATH) is None]


class KerberosRealm:
    """A realm with the principals ``kafka/localhost`` and ``client``, each with a keytab."""

    def __init__(self, supervisor: Supervisor, folder: Path) -> None:
        missing = missing_programs()
        if missing:
            raise KafkaUnavailableError(f"no Kerberos here: {', '.join(missing)} missing")
        self._supervisor = supervisor
        self._folder = folder
        folder.mkdir()
        (self._port,) = free_ports(1)

    @property
    def config(self) -> Path:
        """The krb5.conf of clients and brokers."""
        return self._folder / "krb5.conf"

    @property
    def environment(self) -> Mapping[str, str]:
        """What a client's process needs in its environment."""
        return {
            "KRB5_CONFIG": str(self.config),
            "KRB5_KDC_PROFILE": str(self._folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{self._folder / 'tickets'}",
        }

    def keytab(self, principal: str) -> Path:
        """Return the keytab of a principal."""
        return self._folder / f"{principal.partition('/')[0]}.keytab"

    def start(self) -> None:
        """Make the database, start the centre, wait until it listens."""
        self._write_configuration()
        self._run("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
        for principal in ("kafka/localhost", "client"):
            self._run("kadmin.local", "-r", REALM, "addprinc", "-randkey", principal)
            keytab = str(self.keytab(principal))
            self._run("kadmin.local", "-r", REALM, "ktadd", "-k", keytab, principal)
        program = shutil.which("krb5kdc", path=_SYSTEM_PATH)
        assert program is not None
        log = self._folder / "kdc-output.log"
        process = self._supervisor.spawn(
            [program, "-n", "-r", REALM], log, environment={**os.environ, **self.environment}
        )
        try:
            wait_until(self._listens, 120, "the KDC listens")
        except Exception as error:
            # Whatever it was: the log of the KDC says more.
            raise KafkaUnavailableError(
                f"the KDC did not start ({process.poll()}):\n{tail(log)}"
            ) from error

    def kinit(self) -> None:
        """Get the client's first ticket into the credentials cache."""
        self._run("kinit", "-k", "-t", str(self.keytab("client")), "client")

    def _listens(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return True
        except OSError:
            return False

    def _write_configuration(self) -> None:
        self.config.write_text(
            f"[libdefaults]\n default_realm = {REALM}\n dns_lookup_kdc = false\n"
            " dns_lookup_realm = false\n dns_canonicalize_hostname = false\n rdns = false\n"
            f" udp_preference_limit = 1\n[realms]\n {REALM} = {{\n"
            f"  kdc = 127.0.0.1:{self._port}\n }}\n[domain_realm]\n localhost = {REALM}\n"
        )
        folder = self._folder
        (folder / "kdc.conf").write_text(
            f"[kdcdefaults]\n kdc_listen = 127.0.0.1:{self._port}\n"
            f" kdc_tcp_listen = 127.0.0.1:{self._port}\n[realms]\n {REALM} = {{\n"
            f"  database_name = {folder}/principal\n  key_stash_file = {folder}/stash\n"
            f"  acl_file = {folder}/kadm5.acl\n"
            "  supported_enctypes = aes256-cts:normal aes128-cts:normal\n }\n"
            f"[logging]\n kdc = FILE:{folder}/kdc.log\n default = FILE:{folder}/krb5.log\n"
        )
        (folder / "kadm5.acl").write_text("")

    def _run(self, name: str, *arguments: str) -> None:
        program = shutil.which(name, path=_SYSTEM_PATH)
        assert program is not None
        done = subprocess.run(
            [program, *arguments],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        if done.returncode:
            raise KafkaUnavailableError(f"{name} failed: {done.stdout}{done.stderr}")
