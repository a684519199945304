"""Writes scikit-learn's bundled digits data (1,797 handwritten digits of 8 by 8 pixels) as a CSV file.

python make_data.py digits.csv
"""

import sys

from sklearn.datasets import load_digits

digits = load_digits(as_frame=True)
path = sys.argv[1] if len(sys.argv) > 1 else "digits.csv"
digits.frame.to_csv(path, index=False)
print(f"{path}: {len(digits.frame)} rows, {digits.data.shape[1]} features")
