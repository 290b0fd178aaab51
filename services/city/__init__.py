"""The city social office: it intakes beneficiaries, hands them over, and pays their way."""
