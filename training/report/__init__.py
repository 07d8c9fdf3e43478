"""The deviation report: a backtest as a document that can be signed, and as page and workbook."""
