-- The role and the database of pec-milter on PostgreSQL. Run it once, as the
-- server's administrator, with psql:
--
--   psql -X -v ON_ERROR_STOP=1 -f contrib/postgresql/pec-milter.sql
--
-- The role may do nothing but use its own schema in its own database, and
-- nobody else may connect to that. pec-milter makes the tables itself.
-- README.md beside this file says what else the server needs.

CREATE ROLE "pec-milter" LOGIN
    NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT NOREPLICATION NOBYPASSRLS
    CONNECTION LIMIT 40; -- 10 for each node, and the same again for a restart

-- Text is compared by its bytes, as in the embedded database.
CREATE DATABASE "pec-milter" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
REVOKE ALL ON DATABASE "pec-milter" FROM PUBLIC;
GRANT CONNECT ON DATABASE "pec-milter" TO "pec-milter";

\connect "pec-milter"

REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA AUTHORIZATION "pec-milter"; -- of the role's name: the first of its search_path
