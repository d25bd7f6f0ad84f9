//! What every migration of the suite must be: reversible, and on PostgreSQL commented (convention 20).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use diesel::{
    Connection, QueryableByName,
    backend::Backend,
    migration::{Migration, MigrationSource},
    pg::Pg,
    sql_types::Text,
};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness};

use super::create_on_postgres;
use crate::db::Migrations;

/// Everything in the schema, a line each.
const POSTGRES_SCHEMA: &str = "
    SELECT format('column %s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
                  a.attnotnull, pg_get_expr(d.adbin, d.adrelid)) AS line
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
      AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> '__diesel_schema_migrations'
    UNION ALL
    SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conname !~ '^__diesel'
    UNION ALL
    SELECT format('index %s', indexdef) FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> '__diesel_schema_migrations'
    UNION ALL
    SELECT format('function %s', oid::regprocedure) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
    UNION ALL
    SELECT format('type %s', oid::regtype) FROM pg_type
    WHERE typnamespace = 'public'::regnamespace AND typtype IN ('e', 'd')
    UNION ALL
    SELECT format('sequence %s', relname) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'S'
    ORDER BY 1";

const POSTGRES_WITHOUT_COMMENT: &str = "
    SELECT format('%s.%s', c.relname, a.attname) AS line
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT c.relispartition
      AND a.attnum > 0 AND NOT a.attisdropped AND c.relname <> '__diesel_schema_migrations'
      AND col_description(c.oid, a.attnum) IS NULL
    UNION ALL
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND NOT c.relispartition
      AND c.relname <> '__diesel_schema_migrations' AND obj_description(c.oid, 'pg_class') IS NULL
    ORDER BY 1";

const SQLITE_SCHEMA: &str = "
    SELECT type || ' ' || name || ' ' || coalesce(sql, '') AS line FROM sqlite_schema
    WHERE name NOT LIKE 'sqlite_%' AND tbl_name <> '__diesel_schema_migrations' ORDER BY 1";

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

/// Runs the migrations of a service on both engines, reverts them one by one, and runs them again.
///
/// # Panics
///
/// When a migration cannot be reverted, leaves something behind or makes another schema the second
/// time; when two have one version, since the second would never run; when the engines do not have the
/// same migrations; when a table or column on PostgreSQL has no comment.
pub async fn assert_migrations_are_reversible_and_commented(migrations: Migrations) {
    let on_postgres = check_postgres(migrations.postgres).await;
    let on_sqlite = check_sqlite(migrations.sqlite);
    assert_eq!(
        on_postgres, on_sqlite,
        "each migration is there for both engines"
    );
}

async fn check_postgres(sources: Vec<EmbeddedMigrations>) -> Vec<String> {
    let url = create_on_postgres().await;
    let mut connection = AsyncPgConnection::establish(&url)
        .await
        .expect("the test database opens");
    let names = names::<Pg>(&sorted(&sources));
    let sources = Arc::new(sources);
    let mut schemas = Vec::new();
    for direction in [Direction::Up, Direction::Down, Direction::Up] {
        let (result, back) = run_blocking(connection, Arc::clone(&sources), direction).await;
        result.unwrap_or_else(|failure| panic!("on PostgreSQL {failure}"));
        connection = back;
        schemas.push(lines(&mut connection, POSTGRES_SCHEMA).await);
    }
    assert_redone(&schemas);
    let silent = lines(&mut connection, POSTGRES_WITHOUT_COMMENT).await;
    assert_eq!(
        silent,
        Vec::<String>::new(),
        "these have no comment on PostgreSQL"
    );
    names
}

/// The harness blocks its thread, which a runtime of one thread does not allow.
async fn run_blocking(
    connection: AsyncPgConnection,
    sources: Arc<Vec<EmbeddedMigrations>>,
    direction: Direction,
) -> (Result<(), String>, AsyncPgConnection) {
    tokio::task::spawn_blocking(move || {
        let mut harness = AsyncMigrationHarness::new(connection);
        let result = run(&mut harness, &sorted(&sources), direction);
        (result, harness.into_inner())
    })
    .await
    .expect("the harness does not panic")
}

async fn lines(connection: &mut AsyncPgConnection, query: &str) -> Vec<String> {
    let lines: Vec<Line> = RunQueryDsl::load(diesel::sql_query(query), connection)
        .await
        .expect("the catalog can be read");
    lines.into_iter().map(|line| line.line).collect()
}

fn check_sqlite(sources: Vec<EmbeddedMigrations>) -> Vec<String> {
    let mut connection =
        diesel::SqliteConnection::establish(":memory:").expect("memory can be opened");
    let migrations = sorted(&sources);
    let mut schemas = Vec::new();
    for direction in [Direction::Up, Direction::Down, Direction::Up] {
        run(&mut connection, &migrations, direction)
            .unwrap_or_else(|failure| panic!("on SQLite {failure}"));
        let lines: Vec<Line> =
            diesel::RunQueryDsl::load(diesel::sql_query(SQLITE_SCHEMA), &mut connection)
                .expect("the schema can be read");
        schemas.push(lines.into_iter().map(|line| line.line).collect());
    }
    assert_redone(&schemas);
    names(&migrations)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Up,
    Down,
}

fn run<DB: Backend>(
    harness: &mut impl MigrationHarness<DB>,
    migrations: &[Box<dyn Migration<DB>>],
    direction: Direction,
) -> Result<(), String> {
    if harness.applied_migrations().is_err() {
        return Err("the table of migrations cannot be made".to_owned());
    }
    let ordered: Vec<_> = match direction {
        Direction::Up => migrations.iter().collect(),
        Direction::Down => migrations.iter().rev().collect(),
    };
    for migration in ordered {
        let result = match direction {
            Direction::Up => harness.run_migration(migration.as_ref()),
            Direction::Down => harness.revert_migration(migration.as_ref()),
        };
        if let Err(error) = result {
            return Err(format!("{} fails {direction:?}: {error}", migration.name()));
        }
    }
    Ok(())
}

/// Checks the schemas after all up, all down, all up again.
fn assert_redone(schemas: &[Vec<String>]) {
    assert!(!schemas[0].is_empty(), "the migrations make something");
    assert_eq!(
        schemas[1],
        Vec::<String>::new(),
        "the reverted migrations leave nothing behind"
    );
    assert_eq!(
        schemas[0], schemas[2],
        "the migrations make the same a second time"
    );
}

fn sorted<DB: Backend>(sources: &[EmbeddedMigrations]) -> Vec<Box<dyn Migration<DB>>> {
    let mut by_version = BTreeMap::new();
    for source in sources {
        let migrations: Vec<Box<dyn Migration<DB>>> = source
            .migrations()
            .expect("embedded migrations can be read");
        for migration in migrations {
            let name = migration.name().to_string();
            let version = migration.name().version().to_string();
            let taken = by_version.insert(version, migration);
            assert!(
                taken.is_none(),
                "{name} has the version of another migration and never runs"
            );
        }
    }
    by_version.into_values().collect()
}

fn names<DB: Backend>(migrations: &[Box<dyn Migration<DB>>]) -> Vec<String> {
    let names: BTreeSet<String> = migrations
        .iter()
        .map(|migration| migration.name().to_string())
        .collect();
    names.into_iter().collect()
}
