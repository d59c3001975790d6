-- The roles and the database of pec-milter on PostgreSQL. Run it once, as the
-- server's administrator, with psql:
--
--   psql -X -v ON_ERROR_STOP=1 -f contrib/postgresql/pec-milter.sql
--
-- pec-milter-owner owns the tables; nobody but the administrator uses it, for
-- "pec-milter database migrate" and "pec-milter log expire". pec-milter is the
-- daemon: it may do no more than these two commands let it, and of the legal log
-- that is to read and to append. Nobody else may connect to the database.
-- README.md beside this file says what else the server needs.

CREATE ROLE "pec-milter-owner" LOGIN
    NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS
    CONNECTION LIMIT 5;
CREATE ROLE "pec-milter" LOGIN
    NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS
    CONNECTION LIMIT 40; -- 10 for each node, and the same again for a restart

-- Text is compared by its bytes, as in the embedded database.
CREATE DATABASE "pec-milter" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
ALTER DATABASE "pec-milter" SET search_path = "pec-milter";
REVOKE ALL ON DATABASE "pec-milter" FROM PUBLIC;
GRANT CONNECT ON DATABASE "pec-milter" TO "pec-milter", "pec-milter-owner";

\connect "pec-milter"

REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA "pec-milter" AUTHORIZATION "pec-milter-owner";
