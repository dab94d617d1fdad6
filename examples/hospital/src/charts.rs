//! Patients' charts, in SQLite. This server trusts whoever calls: who may read whose chart is the
//! gateway's to say.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use rmcp::model::{JsonObject, Tool};
use rusqlite::{Connection, limits::Limit, types::ValueRef};
use serde_json::json;

use crate::desk::{Desk, text, tool};

/// Rows of an answer.
const ROWS_MAX: usize = 100;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS patient (id TEXT PRIMARY KEY, name TEXT NOT NULL, born TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS entry (
        patient TEXT NOT NULL REFERENCES patient(id),
        day TEXT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL
    );
";

/// Made-up people.
const PATIENTS: [(&str, &str, &str); 3] = [
    ("p1", "Mary Oduya", "1958-03-14"),
    ("p2", "Tom Aalto", "1990-11-02"),
    ("p3", "Ines Calder", "1971-07-29"),
];

const ENTRIES: [(&str, &str, &str, &str); 7] = [
    ("p1", "2026-10-02", "diagnosis", "hypertension, stage 2"),
    ("p1", "2026-10-02", "medication", "lisinopril 10 mg, once a day"),
    ("p1", "2026-11-16", "measurement", "blood pressure 148/92"),
    ("p2", "2026-09-21", "diagnosis", "fracture of the left wrist"),
    ("p2", "2026-11-03", "measurement", "grip strength 31 kg"),
    ("p3", "2026-08-12", "diagnosis", "type 1 diabetes"),
    (
        "p3",
        "2026-11-09",
        "medication",
        "insulin glargine, 18 units at night",
    ),
];

/// See the module.
#[derive(Debug)]
pub(crate) struct Charts(Mutex<Connection>);

impl Charts {
    /// Opens the file, or makes it with its patients. Each principal of the gateway has a process of its own,
    /// so several may do this at once.
    pub(crate) fn open(file: &Path) -> Result<Self, String> {
        Self::opened(file).map_err(|error| format!("{}: {error}", file.display()))
    }

    fn opened(file: &Path) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(file)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        let making = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        making.execute_batch(SCHEMA)?;
        let empty: bool = making.query_row("SELECT count(*) = 0 FROM patient", [], |row| row.get(0))?;
        if empty {
            for patient in PATIENTS {
                making.execute("INSERT INTO patient VALUES (?, ?, ?)", patient)?;
            }
            for entry in ENTRIES {
                making.execute("INSERT INTO entry VALUES (?, ?, ?, ?)", entry)?;
            }
        }
        making.commit()?;
        Ok(Self(Mutex::new(connection)))
    }

    fn read(&self, patient: &str) -> rusqlite::Result<String> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = "SELECT name || ', born ' || born FROM patient WHERE id = ?";
        let mut chart: String = connection.query_row(sql, [patient], |row| row.get(0))?;
        let sql =
            "SELECT day || ' ' || kind || ': ' || text FROM entry WHERE patient = ? ORDER BY day, rowid";
        let mut statement = connection.prepare(sql)?;
        for line in statement.query_map([patient], |row| row.get::<_, String>(0))? {
            chart.push('\n');
            chart.push_str(&line?);
        }
        Ok(chart)
    }

    fn add(&self, patient: &str, note: &str) -> rusqlite::Result<()> {
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sql = "INSERT INTO entry SELECT id, date('now'), 'note', ? FROM patient WHERE id = ?";
        match connection.execute(sql, (note, patient))? {
            0 => Err(rusqlite::Error::QueryReturnedNoRows),
            _ => Ok(()),
        }
    }

    /// Runs a query over a copy that holds this patient's chart and nothing else: whatever the SQL says, it
    /// reads no other chart and changes none.
    fn query(&self, patient: &str, sql: &str) -> Result<String, String> {
        let copy = self.copy(patient).map_err(said)?;
        let mut statement = copy.prepare(sql).map_err(said)?;
        if !statement.readonly() {
            return Err("this tool only reads".to_owned());
        }
        let columns = statement.column_count();
        let mut lines = vec![statement.column_names().collect::<Vec<_>>().join("\t")];
        let mut rows = statement.query([]).map_err(said)?;
        while let Some(row) = rows.next().map_err(said)? {
            if lines.len() > ROWS_MAX {
                lines.push("(and more)".to_owned());
                break;
            }
            let cells = (0..columns).map(|column| row.get_ref(column).map(shown));
            lines.push(cells.collect::<Result<Vec<_>, _>>().map_err(said)?.join("\t"));
        }
        Ok(lines.join("\n"))
    }

    fn copy(&self, patient: &str) -> rusqlite::Result<Connection> {
        let copy = Connection::open_in_memory()?;
        copy.execute_batch("CREATE TABLE chart (day TEXT, kind TEXT, text TEXT)")?;
        let connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut statement = connection.prepare("SELECT day, kind, text FROM entry WHERE patient = ?")?;
        let mut rows = statement.query([patient])?;
        while let Some(row) = rows.next()? {
            let entry: (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            copy.execute("INSERT INTO chart VALUES (?, ?, ?)", entry)?;
        }
        // ATTACH counts as reading for SQLite, and would open any file.
        copy.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        Ok(copy)
    }
}

impl Desk for Charts {
    const NAME: &'static str = "charts";

    fn tools(&self) -> Vec<Tool> {
        let patient =
            json!({ "type": "string", "pattern": "^p[0-9]+$", "description": "The patient's number" });
        let note = json!({ "type": "string", "maxLength": 2000, "description": "The note" });
        let sql = json!({
            "type": "string",
            "maxLength": 2000,
            "description": "One SELECT over the table chart (day, kind, text), which holds this patient's \
             entries",
        });
        vec![
            tool(
                "read_chart",
                "Reads the chart of one patient.",
                true,
                json!({ "patient": patient }),
            ),
            tool(
                "query",
                "Answers a question about one patient's chart, put in SQL.",
                true,
                json!({
                    "patient": patient,
                    "sql": sql,
                }),
            ),
            tool(
                "add_note",
                "Adds a note to the chart of one patient.",
                false,
                json!({
                    "patient": patient,
                    "note": note,
                }),
            ),
        ]
    }

    fn call(&self, tool: &str, arguments: &JsonObject) -> Result<String, String> {
        let patient = text(arguments, "patient")?;
        match tool {
            "read_chart" => self.read(patient).map_err(said),
            "query" => self.query(patient, text(arguments, "sql")?),
            "add_note" => self
                .add(patient, text(arguments, "note")?)
                .map(|()| "noted".to_owned())
                .map_err(said),
            other => Err(format!("there is no tool `{other}`")),
        }
    }
}

fn said(error: rusqlite::Error) -> String {
    if error == rusqlite::Error::QueryReturnedNoRows {
        return "there is no such patient".to_owned();
    }
    error.to_string()
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("({} bytes)", bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn charts() -> Charts {
        Charts::opened(Path::new(":memory:")).unwrap()
    }

    #[test]
    fn a_chart_is_read_as_it_was_written() {
        let charts = charts();
        charts.add("p1", "sleeps well").unwrap();
        let chart = charts.read("p1").unwrap();
        assert!(chart.starts_with("Mary Oduya, born 1958-03-14\n"), "{chart}");
        assert!(chart.ends_with("note: sleeps well"), "{chart}");
        assert!(!chart.contains("insulin"), "{chart}");
        assert!(charts.add("p9", "nobody").is_err());
    }

    #[test]
    fn a_query_reads_one_patient_and_changes_nothing() {
        let charts = charts();
        let all = charts.query("p1", "SELECT count(*) AS n FROM chart").unwrap();
        assert_eq!(all, "n\n3");
        for sql in [
            "DELETE FROM chart",
            "WITH x AS (SELECT 1) DELETE FROM chart",
            "DROP TABLE chart",
            "SELECT * FROM entry",
            "SELECT 1; DELETE FROM chart",
            "ATTACH 'charts.sqlite' AS other",
        ] {
            assert!(charts.query("p1", sql).is_err(), "{sql}");
        }
        assert_eq!(charts.read("p1").unwrap().lines().count(), 4);
    }
}
