"""Writes scikit-learn's bundled wine data (178 wines, 13 measurements, 3 cultivars) as a CSV file.

python make_data.py wine.csv
"""

import sys

from sklearn.datasets import load_wine

wine = load_wine(as_frame=True)
path = sys.argv[1] if len(sys.argv) > 1 else "wine.csv"
wine.frame.rename(columns={"target": "cultivar"}).to_csv(path, index=False)
print(f"{path}: {len(wine.frame)} rows, {wine.data.shape[1]} features")
