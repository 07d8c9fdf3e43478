"""A package's valuation as it is sent on: one page, one workbook, in English and Chinese."""
