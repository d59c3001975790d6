//go:build integration

package integration

import (
	"database/sql"
	"errors"
	"fmt"

	_ "github.com/jackc/pgx/v5/stdlib" // as the administrator connects

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/testpostgres"
)

// migrate makes the tables in the database of a server, as its administrator does
// before the daemon's first start.
func migrate(server *testpostgres.Server) error {
	db, err := sql.Open("pgx", fmt.Sprintf("host=%s port=%d user=%s dbname=%s", server.Directory, server.Port, testpostgres.Owner, testpostgres.Role))
	if err != nil {
		return err
	}
	return errors.Join(legallog.MigratePostgreSQL(db, testpostgres.Role), db.Close())
}
