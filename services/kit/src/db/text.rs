//! Queries in PostgreSQL's own words, for what the query builder cannot say: many rows at once from
//! arrays (`unnest`), one statement that writes several tables.
//!
//! diesel's own `sql_query` is parsed and planned at each use. These are prepared once per
//! connection, which a text that never changes allows; what changes is bound.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    expression::{AsExpression, TypedExpressionType},
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    result::Error,
    sql_types::SqlType,
};

/// A query whose rows have the columns `Columns`, a tuple of SQL types.
pub struct PgText<'a, Columns = ()> {
    text: &'static str,
    binds: Vec<Box<dyn QueryFragment<Pg> + Send + 'a>>,
    columns: PhantomData<fn() -> Columns>,
}

impl<'a, Columns> PgText<'a, Columns> {
    /// Returns the query of that text, in which each `?` stands for the next value that is bound.
    pub fn new(text: &'static str) -> Self {
        Self {
            text,
            binds: Vec::new(),
            columns: PhantomData,
        }
    }

    /// Binds the next value, as a `Type`.
    #[must_use]
    pub fn bind<Type, Value>(mut self, value: Value) -> Self
    where
        Type: SqlType + TypedExpressionType,
        Value: AsExpression<Type, Expression: QueryFragment<Pg> + Send + 'a>,
    {
        self.binds.push(Box::new(value.as_expression()));
        self
    }
}

/// Returns the statement that has its transaction's statements look up rows by index alone, since a plan
/// that was made while a table was empty must serve when it is large.
pub fn index_lookups() -> PgText<'static> {
    PgText::new(
        "SELECT set_config('enable_hashjoin', 'off', true), \
         set_config('enable_mergejoin', 'off', true), set_config('enable_material', 'off', true)",
    )
}

impl<Columns> Query for PgText<'_, Columns> {
    type SqlType = Columns;
}

impl<Columns> QueryId for PgText<'_, Columns> {
    type QueryId = ();
    /// The text tells them apart.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Columns> QueryFragment<Pg> for PgText<'_, Columns> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut pieces = self.text.split('?');
        out.push_sql(pieces.next().unwrap_or_default());
        let mut binds = self.binds.iter();
        for piece in pieces {
            let missing = || Error::QueryBuilderError("a value is not bound".into());
            binds.next().ok_or_else(missing)?.walk_ast(out.reborrow())?;
            out.push_sql(piece);
        }
        Ok(())
    }
}
