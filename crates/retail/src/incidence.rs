//! Who has what: a sparse yes/no matrix that can be walked by row and by column.

/// A sparse matrix of ones. Rows are shoppers or orders, columns are products.
#[derive(Debug, Clone)]
pub struct Incidence {
    rows: Lists,
    columns: Lists,
}

/// Many short lists in two allocations.
#[derive(Debug, Clone)]
struct Lists {
    /// Where each list starts in `entries`; one more than there are lists.
    starts: Vec<usize>,
    entries: Vec<usize>,
}

impl Lists {
    fn from_lists<'a>(lists: impl Iterator<Item = &'a [usize]>) -> Self {
        let mut starts = vec![0];
        let mut entries = Vec::new();
        for list in lists {
            entries.extend_from_slice(list);
            starts.push(entries.len());
        }
        Self { starts, entries }
    }

    fn list(&self, number: usize) -> &[usize] {
        &self.entries[self.starts[number]..self.starts[number + 1]]
    }

    fn len(&self) -> usize {
        self.starts.len() - 1
    }
}

impl Incidence {
    /// `rows[r]` lists the columns of row `r`, in rising order, each less than `columns`.
    pub fn new(rows: &[Vec<usize>], columns: usize) -> Self {
        let mut transposed = vec![Vec::new(); columns];
        for (row, entries) in rows.iter().enumerate() {
            for &column in entries {
                transposed[column].push(row);
            }
        }
        Self {
            rows: Lists::from_lists(rows.iter().map(Vec::as_slice)),
            columns: Lists::from_lists(transposed.iter().map(Vec::as_slice)),
        }
    }

    /// Returns the columns of one row, rising.
    pub fn row(&self, row: usize) -> &[usize] {
        self.rows.list(row)
    }

    /// Returns the rows of one column, rising.
    pub fn column(&self, column: usize) -> &[usize] {
        self.columns.list(column)
    }

    /// Returns how many rows there are.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Returns how many columns there are.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Returns how many of the rows before `end` have both columns.
    pub fn shared_rows(&self, one: usize, other: usize, end: usize) -> usize {
        let before_end = |column| {
            let rows = self.column(column);
            &rows[..rows.partition_point(|&row| row < end)]
        };
        let (mut one, mut other) = (before_end(one), before_end(other));
        let mut shared = 0;
        while let (Some((&a, rest_a)), Some((&b, rest_b))) =
            (one.split_first(), other.split_first())
        {
            shared += usize::from(a == b);
            if a <= b {
                one = rest_a;
            }
            if b <= a {
                other = rest_b;
            }
        }
        shared
    }
}

/// Returns a count as a float, exact for every count a purchase history can have.
pub fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_tell_the_same() {
        let matrix = Incidence::new(&[vec![0, 2], vec![], vec![2]], 4);
        assert_eq!(matrix.row(0), [0, 2]);
        assert!(matrix.row(1).is_empty());
        assert_eq!(matrix.column(2), [0, 2]);
        assert!(matrix.column(3).is_empty());
        assert_eq!((matrix.rows(), matrix.columns()), (3, 4));
    }

    #[test]
    fn shared_rows_are_counted() {
        let matrix = Incidence::new(&[vec![0, 1], vec![0, 1], vec![1], vec![0]], 2);
        assert_eq!(matrix.shared_rows(0, 1, 4), 2);
        assert_eq!(matrix.shared_rows(1, 1, 4), 3);
        assert_eq!(matrix.shared_rows(0, 1, 1), 1);
    }
}
