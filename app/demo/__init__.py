"""Demo data: Aleppo, July to December 2016."""
