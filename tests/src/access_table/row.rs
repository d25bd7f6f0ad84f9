//! The rows of the table.

use rapport_proto::access::v1::Scope;

const TABLE: &str = include_str!("table.txt");
/// The columns of a row before its request.
const COLUMNS: usize = 11;

/// What a method that is not there yet answers to whom it lets in.
pub(super) const ABSENT: &str = "UNIMPLEMENTED";

/// A kind of caller: one column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Nobody,
    Temporary,
    Client,
    Member,
    ServiceWithoutScope,
    ServiceWithScope,
    Operator,
    Suite,
}

impl Who {
    /// In the order of the columns.
    pub(super) const ALL: [Self; 8] = [
        Self::Nobody,
        Self::Temporary,
        Self::Client,
        Self::Member,
        Self::ServiceWithoutScope,
        Self::ServiceWithScope,
        Self::Operator,
        Self::Suite,
    ];

    pub(super) fn column(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Temporary => "temp",
            Self::Client => "client",
            Self::Member => "member",
            Self::ServiceWithoutScope => "-scope",
            Self::ServiceWithScope => "+scope",
            Self::Operator => "operator",
            Self::Suite => "suite",
        }
    }
}

/// What a caller meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    In,
    Denied,
    Unauthenticated,
}

impl Cell {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Denied => "no",
            Self::Unauthenticated => "-",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let all = [Self::In, Self::Denied, Self::Unauthenticated];
        all.into_iter().find(|cell| cell.word() == word)
    }
}

/// One method.
pub(super) struct Row {
    /// Service and method, without the package.
    pub(super) method: String,
    cells: [Cell; 8],
    /// Of which a service needs one; none where no service is let in for a scope.
    pub(super) scopes: Vec<Scope>,
    other_brand: String,
    request: String,
    /// What a service says besides.
    service_request: String,
    /// What follows for all.
    rest: String,
}

impl Row {
    pub(super) fn cell(&self, who: Who) -> Cell {
        self.cells[who as usize]
    }

    /// Tells whether the method is not there yet.
    pub(super) fn is_absent(&self) -> bool {
        self.other_brand == ABSENT
    }

    /// Returns what a caller of another Brand is answered; nothing where none is let in.
    pub(super) fn of_other_brand(&self) -> Option<String> {
        let is_asked = self.other_brand != "none" && !self.callers_of_a_brand().is_empty();
        is_asked.then(|| self.other_brand.clone())
    }

    /// Returns the callers let in who have a Brand, or need none.
    pub(super) fn callers_of_a_brand(&self) -> Vec<Who> {
        if self.cell(Who::Nobody) == Cell::In {
            return vec![Who::Nobody];
        }
        let of_a_brand = [
            Who::Temporary,
            Who::Client,
            Who::Member,
            Who::ServiceWithScope,
        ];
        let let_in = |who: &Who| self.cell(*who) == Cell::In;
        of_a_brand.into_iter().filter(let_in).collect()
    }

    pub(super) fn request(&self, who: Who) -> String {
        match who {
            Who::ServiceWithScope | Who::ServiceWithoutScope => {
                format!("{} {} {}", self.request, self.service_request, self.rest)
            }
            _ => format!("{} {}", self.request, self.rest),
        }
    }
}

/// Reads the table.
pub(super) fn table() -> Vec<Row> {
    TABLE
        .lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with('#'))
        .map(|line| read(line).unwrap_or_else(|| panic!("table.txt has a malformed row: {line}")))
        .collect()
}

fn read(line: &str) -> Option<Row> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (columns, request) = words.split_at_checked(COLUMNS)?;
    let mut cells = [Cell::In; 8];
    for (cell, word) in cells.iter_mut().zip(&columns[1..9]) {
        *cell = Cell::parse(word)?;
    }
    let scope = |name: &str| Scope::from_str_name(&format!("SCOPE_{name}"));
    let scopes: Option<Vec<Scope>> = match columns[9] {
        "none" => Some(Vec::new()),
        names => names.split(',').map(scope).collect(),
    };
    let request = request.join(" ");
    let mut parts = request.splitn(3, '|').map(str::to_owned);
    let mut part = || parts.next().unwrap_or_default();
    Some(Row {
        method: columns[0].to_owned(),
        cells,
        scopes: scopes?,
        other_brand: columns[10].to_owned(),
        request: part(),
        service_request: part(),
        rest: part(),
    })
}
