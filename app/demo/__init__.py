"""Demo data: Aleppo, July to October 2016."""
