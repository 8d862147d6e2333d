"""The collected table and the page on a whole run."""
