#!/bin/sh
# Prepare what compose.yaml needs, in this folder: HAProxy's file with the addresses of the nodes here (local/), anew each
# time, and secrets, each random (secrets/), never over some that are there.
#   ./prepare.sh [HOST]     HOST: the name in the certificate, which is for tests (a year, signed by itself)
# The folder of secrets is for its owner alone; the files in it can be read by the users within the containers.
set -eu
cd "$(dirname "$0")"
host=${1:-localhost}

mkdir -p local
sed -e 's/127\.0\.0\.1:8501/172.30.13.11:8501/' -e 's/127\.0\.0\.1:8502/172.30.13.12:8501/' \
    -e 's|^\( *log\) /dev/log |\1 stdout format raw |' ../haproxy/haproxy.cfg >local/haproxy.cfg
for part in 172.30.13.11:8501 172.30.13.12:8501 /etc/haproxy/millpond.pem 127.0.0.1:8404; do
    grep -qF "$part" local/haproxy.cfg || { echo "../haproxy/haproxy.cfg is not as expected: no $part" >&2; exit 1; }
done

umask 077
mkdir -p secrets

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

new() { # name; the content comes by standard input
    rm -f "secrets/$1"
    cat >"secrets/$1"
    chmod 0444 "secrets/$1"
}

# They belong together, so all are made at once. With others what was stored and encrypted before cannot be read.
if [ -e secrets/millpond.toml ]; then
    echo "The secrets are there already and stay as they are."
    exit 0
fi

postgres=$(random) s3_key=$(random) s3_secret=$(random)
printf '%s' "$postgres" | new postgres-password
new s3-server.json <<END
{"identities": [{"name": "millpond", "credentials": [{"accessKey": "$s3_key", "secretKey": "$s3_secret"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
END
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj "/CN=$host" \
        -addext "subjectAltName=DNS:$host" -keyout secrets/key.tmp -out secrets/certificate.tmp 2>/dev/null
    cat secrets/certificate.tmp secrets/key.tmp | new haproxy.pem
    rm secrets/key.tmp secrets/certificate.tmp
    openssl genpkey -algorithm ed25519 | new audit.key
else
    echo "Without openssl no certificate was made: put certificate and key, in PEM, into secrets/haproxy.pem," >&2
    echo "and the key of the audit log, Ed25519 in PEM, into secrets/audit.key" >&2
fi
# The last one: that it is there says that all are.
new millpond.toml <<END
# Settings of Millpond that are secret, by the names of docs/settings.md. The key encrypts what is stored encrypted, and
# both nodes need the same one: keep a copy of this file elsewhere.
database_url = "postgresql+psycopg://millpond:$postgres@postgres/millpond"
files_url = "s3://millpond?endpoint=http://s3:8333&region=us-east-1"
files_access_key = "$s3_key"
files_secret_key = "$s3_secret"
secret_key = "$(random)$(random)"
END
