"""Forms that texts of the resource must have: regular expressions that match the whole of a text."""

NAME = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,98}[A-Za-z0-9])?"
TOPIC = r"[A-Za-z0-9._-]{1,249}"  # Kafka's legal topic names
DNS_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"  # names of Kubernetes objects
KEY = r"\.?[A-Za-z0-9_-][A-Za-z0-9._-]{0,251}"  # keys of a Secret or ConfigMap; never ".."
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]{0,254}"
FUNCTION = r"[A-Za-z_]\w{0,254}"
ENTRYPOINT = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*"
_BUCKET = r"([^/\s]*@)?[A-Za-z0-9][A-Za-z0-9._-]{1,252}"  # what stands before an @ has a rule of its own
SNAPSHOTS = rf"file:///[^\s?#]+|(s3|gs|az)://{_BUCKET}(/[^\s?#]*)?"
