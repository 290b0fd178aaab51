"""`python -m services.city`: this office's web and worker in one process."""

from services.city.service import SERVICE
from shared.runtime.serve import serve

serve(SERVICE)
