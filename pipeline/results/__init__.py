"""What campaigns have found: tables, files, reports, digests."""
