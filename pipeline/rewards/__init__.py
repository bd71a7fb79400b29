"""What a crystal earns by the objectives of a campaign, and what it is expected to earn before it is made."""
