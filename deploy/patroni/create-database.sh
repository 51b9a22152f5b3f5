#!/bin/sh
# Patroni's post_bootstrap: makes the role and the database of Millpond on a new cluster. $1: where the superuser connects to.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname "$1" <<'END'
\getenv password MILLPOND_DATABASE_PASSWORD
CREATE ROLE millpond LOGIN PASSWORD :'password';
CREATE DATABASE millpond OWNER millpond ENCODING 'UTF8' TEMPLATE template0;
\connect millpond
-- Only where the server has it; MILLPOND_VECTOR_SEARCH=database needs it.
SELECT 'CREATE EXTENSION vector' FROM pg_available_extensions WHERE name = 'vector' \gexec
END
