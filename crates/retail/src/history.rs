//! Reads a purchase history: CSV with the columns of the UCI "Online Retail" data set,
//! in UTF-8 or ISO 8859-1. The only file of the generator that does I/O, once at start.

use std::{
    collections::BTreeMap,
    fmt, io,
    path::{Path, PathBuf},
};

use csv::{ByteRecord, ReaderBuilder};

use crate::cleaning::{self, Line, Row, Skip};

/// The columns that must be there, in any order; others are ignored.
const COLUMNS: [&str; 8] = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
];

/// Clean lines and an account of what was left out.
#[derive(Debug, Clone)]
pub struct PurchaseHistory {
    /// The clean lines, in the file's order. Never empty.
    pub lines: Vec<Line>,
    /// What was read and what was skipped.
    pub report: HistoryReport,
}

/// How many rows were read, and how many were left out for which reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistoryReport {
    /// Rows in the file, without the header.
    pub rows: usize,
    /// Lines kept, returns included.
    pub kept: usize,
    /// Lines kept that are returns.
    pub returns: usize,
    /// Lines kept without a customer: they count for what sells and what sells together.
    pub without_customer: usize,
    /// Rows left out, by reason.
    pub skipped: BTreeMap<Skip, usize>,
}

impl fmt::Display for HistoryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} rows kept ({} returns, {} without a customer)",
            self.kept, self.rows, self.returns, self.without_customer
        )?;
        for (reason, count) in &self.skipped {
            write!(f, "; {count} skipped: {reason}")?;
        }
        Ok(())
    }
}

/// Why there is no purchase history to learn from.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be opened.
    #[error("cannot open the purchase history {}: {reason}", path.display())]
    Open {
        /// The file that was named.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Reading stopped half-way.
    #[error("cannot read the purchase history: {0}")]
    Read(io::Error),
    /// The first row is not the header, or is another table's.
    #[error(
        "the purchase history lacks the column(s) {}; it needs {}",
        missing.join(", "),
        COLUMNS.join(",")
    )]
    MissingColumns {
        /// The columns that are not there.
        missing: Vec<&'static str>,
    },
    /// Nothing to learn from.
    #[error("the purchase history holds no usable sale: {0}")]
    Empty(HistoryReport),
}

impl PurchaseHistory {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`HistoryError`], each kind of it.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let file = std::fs::File::open(path).map_err(|reason| HistoryError::Open {
            path: path.to_owned(),
            reason,
        })?;
        Self::read(io::BufReader::new(file))
    }

    /// Reads CSV from anywhere.
    ///
    /// # Errors
    /// [`HistoryError`], each kind but [`HistoryError::Open`].
    pub fn read(input: impl io::Read) -> Result<Self, HistoryError> {
        let mut reader = ReaderBuilder::new().flexible(true).from_reader(input);
        let header = reader.byte_headers().map_err(read_error)?.clone();
        let places = places(&header)?;

        let mut lines = Vec::new();
        let mut report = HistoryReport::default();
        let mut record = ByteRecord::new();
        loop {
            match reader.read_byte_record(&mut record) {
                Ok(false) => break,
                Ok(true) => {}
                Err(error) => return Err(read_error(error)),
            }
            report.rows += 1;
            match line(&record, &places, header.len()) {
                Ok(line) => {
                    report.kept += 1;
                    report.returns += usize::from(line.is_return());
                    report.without_customer += usize::from(line.customer.is_none());
                    lines.push(line);
                }
                Err(reason) => *report.skipped.entry(reason).or_default() += 1,
            }
        }
        if lines.iter().all(Line::is_return) {
            return Err(HistoryError::Empty(report));
        }
        Ok(Self { lines, report })
    }
}

/// Passes I/O errors on: a flexible reader of bytes reports nothing but I/O errors.
fn read_error(error: csv::Error) -> HistoryError {
    HistoryError::Read(error.into())
}

/// Returns where each of [`COLUMNS`] stands in this file.
fn places(header: &ByteRecord) -> Result<[usize; COLUMNS.len()], HistoryError> {
    let names: Vec<String> = header
        .iter()
        .map(|name| {
            text(name)
                .trim_start_matches('\u{feff}')
                .trim()
                .to_lowercase()
        })
        .collect();
    let mut places = [0; COLUMNS.len()];
    let mut missing = Vec::new();
    for (place, column) in places.iter_mut().zip(COLUMNS) {
        match names.iter().position(|name| *name == column.to_lowercase()) {
            Some(found) => *place = found,
            None => missing.push(column),
        }
    }
    if missing.is_empty() {
        Ok(places)
    } else {
        Err(HistoryError::MissingColumns { missing })
    }
}

fn line(record: &ByteRecord, places: &[usize; COLUMNS.len()], width: usize) -> Result<Line, Skip> {
    if record.len() != width {
        return Err(Skip::Malformed);
    }
    let fields = places.map(|place| record.get(place).map(text).unwrap_or_default());
    let [
        invoice,
        stock_code,
        description,
        quantity,
        date,
        price,
        customer,
        country,
    ] = &fields;
    cleaning::clean(&Row {
        invoice,
        stock_code,
        description,
        quantity,
        date,
        price,
        customer,
        country,
    })
}

/// UTF-8, or else ISO 8859-1, in which every byte is the character of the same number.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

    fn read(rows: &str) -> Result<PurchaseHistory, HistoryError> {
        PurchaseHistory::read(format!("{HEADER}{rows}").as_bytes())
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = PurchaseHistory::open(Path::new("/nowhere/sales.csv")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/sales.csv"), "{error}");
    }

    #[test]
    fn missing_columns_are_named() {
        let error = PurchaseHistory::read(&b"InvoiceNo,StockCode,Quantity\n1,40101,2\n"[..]);
        let HistoryError::MissingColumns { missing } = error.unwrap_err() else {
            panic!("another error");
        };
        assert_eq!(
            missing,
            [
                "Description",
                "InvoiceDate",
                "UnitPrice",
                "CustomerID",
                "Country"
            ]
        );
    }

    #[test]
    fn an_empty_file_and_a_file_of_dirt_are_refused() {
        assert!(matches!(
            PurchaseHistory::read(&b""[..]),
            Err(HistoryError::MissingColumns { .. })
        ));
        let error = read("1,POST,POSTAGE,1,1/2/2025 9:00,18.00,31001,France\n").unwrap_err();
        assert!(
            error.to_string().contains("1 skipped: not a product"),
            "{error}"
        );
    }

    #[test]
    fn columns_may_stand_in_any_order_behind_a_byte_order_mark() {
        let csv = "\u{feff}Country,customerid,UnitPrice,InvoiceDate,Quantity,Description,StockCode,InvoiceNo,Extra\n\
                   France,31001,1.25,1/2/2025 9:00,2,MUG,40101,700001,x\n";
        let history = PurchaseHistory::read(csv.as_bytes()).unwrap();
        assert_eq!(history.lines[0].country, "France");
        assert_eq!(history.lines[0].quantity, 2);
    }

    #[test]
    fn quotes_and_latin_1_bytes_are_read() {
        let mut csv = HEADER.as_bytes().to_vec();
        csv.extend_from_slice(
            b"1,40101,\"CAF\xc9 SIGN \"\"OPEN\"\", BLUE\",1,1/2/2025 9:00,2,,France\n",
        );
        let history = PurchaseHistory::read(csv.as_slice()).unwrap();
        assert_eq!(history.lines[0].description, "CAFÉ SIGN \"OPEN\", BLUE");
    }

    #[test]
    fn what_was_skipped_is_counted_by_reason() {
        let history = read(
            "1,40101,MUG,2,1/2/2025 9:00,1.25,31001,France\n\
             1,40101,MUG\n\
             C2,40101,MUG,-1,1/3/2025 9:00,1.25,31001,France\n\
             3,40101,MUG,1,1/3/2025 9:00,0,31001,France\n\
             4,40101,MUG,1,1/3/2025 9:00,1.25,,France\n",
        )
        .unwrap();
        assert_eq!(
            history.report.to_string(),
            "3 of 5 rows kept (1 returns, 1 without a customer); \
             1 skipped: not a whole row; 1 skipped: no price or a negative one"
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(rows in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = PurchaseHistory::read(rows.as_slice());
            let mut csv = HEADER.as_bytes().to_vec();
            csv.extend_from_slice(&rows);
            let _ = PurchaseHistory::read(csv.as_slice());
        }

        #[test]
        fn no_fields_make_it_panic(fields in prop::collection::vec("[\\PC\"]{0,12}", 8)) {
            let _ = read(&fields.join(","));
        }
    }
}
