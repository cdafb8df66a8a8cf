"""Short, varied text openings from which the target samples the draft's training text.

The lists below are combined at random, so a few hundred phrases give tens of thousands of distinct openings. The
held-out openings share no subject, person or place with them.
"""

import random

SUBJECTS = """
the Roman aqueducts|volcanic islands|the water cycle|photosynthesis|the printing press|medieval castles|steam engines|coral reefs|honey bees
|the human heart|glaciers|the Silk Road|jazz music|the periodic table|lighthouses|the blue whale|desert plants|paper making|the solar system|bridges
|the Great Wall|chess|tropical storms|the violin|railways|the potato|gravity|the moon landing|ancient Egypt|mushrooms|the telescope|olive trees
|electric motors|the Amazon river|earthquakes|wool|the alphabet|cheese|penguins|the bicycle|tides|opera|the compass|rice farming|bats|the nervous system
|marble sculpture|wind turbines|the fall of Rome|dinosaurs|the microscope|salt mines|folk dances|the Baltic Sea|antibiotics|the calendar|owls|pottery
|the steam locomotive|vaccines|the Andes|cotton|sailing ships|the Renaissance|spiders|the telephone|nuclear energy|the Sahara|bread|the immune system
|the Olympic Games|rubber|the French Revolution|elephants|clocks|the Industrial Revolution|coffee|sharks|the electron|the Vikings|glass|the liver
|migration of birds|the novel|silk|the Mississippi|probability|whales|the piano|irrigation|the Cold War|ants|concrete|the Black Death|tea|comets|wolves
|the greenhouse effect|the samurai|magnetism|the Ottoman Empire|fermentation|tulips|the Pacific Ocean|algebra|the guitar|canals|the Moon|frogs
|insulin|the Aztecs|copper|the theatre|beavers|radio waves|the Suez Canal|maple syrup|the brain|public libraries|the horse|sleep|limestone caves
|the stock market|photography|the Arctic fox|cell division|the postal service|gold mining|the rainbow|seeds|the Punic Wars|swimming|the atmosphere
|democracy|the honey badger|bamboo|the steam turbine|fractions|the city of Lisbon|Mount Fuji|the kingdom of Mali|the poet Homer|the football club
|the 1964 film|the railway station|the river valley|the parish church|the light cruiser|the species|the album|the hurricane season|the battle|the village
""".replace("\n", "").split("|")

ENCYCLOPAEDIC = (
    """
{Subject} is|{Subject} are|{Subject} was first|The history of {subject}|The origins of {subject} lie in|In the study of {subject},|Most accounts of {subject} begin
|The importance of {subject}|Early descriptions of {subject}|Scientists who study {subject}|One common misconception about {subject}|The structure of {subject}
|During the nineteenth century, {subject}|The main characteristics of {subject}|There are several kinds of|{Subject}, also known as|The economic role of {subject}
|The earliest known record of {subject}|Unlike its predecessors, {subject}|According to historians, {subject}|Modern research on {subject} shows|The name comes from
|Construction of the building began in|He was born in|She was educated at|The region around {subject}|The development of {subject} took place|By 1920, {subject}
|The climate of the region|Its population was|The first edition of the book on {subject}|A typical example of {subject}|The decline of {subject}|Question: What is {subject}?
|Here is a short explanation of {subject}:|An introduction to {subject}\n\n|= {Subject} =\n\n|Chapter 1: {Subject}\n\n|Critics praised|The song was written by
|The following year, the team|In the final match of the season,|The species was described in|The ship was launched on|The game was released in|As a result of the war,
""".replace("\n", "")
    .replace("\\n", "\n")
    .split("|")
)

PEOPLE = """
Anna|the old fisherman|Thomas|the captain|Maria|my grandmother|the young doctor|Mr. Harding|the stranger|Elena|the shepherd|Captain Ross|the widow|Samuel
|the two brothers|Lucy|the baker|the schoolmaster|Peter|Miss Alden|the gardener|the king|Clara|the innkeeper|Robert|the soldier|the girl|the boy|David|the wolf
|the princess|the thief|Mrs. Pell|the clockmaker|Jack|the sailor|Emma|the judge|the painter|Oliver|the nurse|Sarah|the detective|the farmer|Daniel|the traveller
""".replace("\n", "").split("|")

PLACES = """
the harbour|the empty house|the mountain village|the garden|the railway station|the forest|the library|the market|the kitchen|the lighthouse|the church|the river
|the city|the old mill|the attic|the ship|the castle|the meadow|the inn|the school|the island|the desert|the road to the north|the bridge|the hospital|the cellar
""".replace("\n", "").split("|")

NARRATIVE = (
    """
Once upon a time, {person}|{Person} walked slowly towards {place}|It was late when {person}|"I have never seen {place}," said {person}|When {person} came to {place},
|The rain had not stopped for three days, and {person}|Nobody in {place} remembered|{Person} opened the letter and|Years later, {person} would|The door of {place} was open
|On the morning of the third day, {person}|There was a light in {place}|"Where are you going?" asked {person}.|{Person} had always wanted|At the edge of {place} stood
|In the winter of that year, {person}|The night was cold and|{Person} looked at the sea|Everyone knew that {person}|"Listen," said {person},|She had been told that {place}
|He put down the lamp and|The first time {person} saw {place},|A long silence followed.|{Person} did not answer.|After the war, {person} returned to {place}
|Chapter One\n\n{Person}|My father often spoke of {place}|They reached {place} before dark|"You must promise me," {person} said|The child stood in|It is a truth
|Dear Sir,\n\n|I was born in|The old woman who lived near {place}|For a moment {person}|All that summer {person}|Nothing in {place} had changed|Far away, beyond {place},
""".replace("\n", "")
    .replace("\\n", "\n")
    .split("|")
)

WORDS = """
The|A|In|However|He|She|They|When|Although|It|We|I|There|This|After|Before|With|To|If|One|Many|Because|While|On|At|For|But|And|As|From|During|Every|No|My|Our|His|Her
|Two|Some|Then|Today|What|How|Why|Who|Let|Finally|First|Perhaps|Suddenly|Yes|According|Despite|Until|Under|Over|Since|Most|Later|Here|Now|Another|Their|By|Not
""".replace("\n", "").split("|")

HELD_OUT = [
    "The domestication of the camel",
    "Hot springs are found where",
    "The accordion is a",
    "In the parliament of Iceland,",
    "The invention of the zipper",
    "Kelp forests provide",
    "A barometer measures",
    "The Etruscans lived in",
    "The ferryman pulled his coat closer and",
    '"The snow will reach us by noon," Ingrid whispered',
    "Behind the orchard wall, old Matthias",
    "Nobody had wound the tower bell since",
    "Three letters lay on the governess's desk",
    "The cartographer unrolled the last map and",
    "Beneath the quay, the smugglers",
    "When the circus left town, little Josef",
]


def sample_openings(count: int, seed: int) -> list[str]:
    """Draw ``count`` openings: 45 % encyclopaedic, 45 % narrative, 10 % a single word."""
    rng = random.Random(seed)
    return [_opening(rng) for _ in range(count)]


def _opening(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.1:
        return rng.choice(WORDS)
    subject, person, place = rng.choice(SUBJECTS), rng.choice(PEOPLE), rng.choice(PLACES)
    template = rng.choice(ENCYCLOPAEDIC if kind < 0.55 else NARRATIVE)
    fields = {"subject": subject, "person": person, "place": place}
    fields |= {name.capitalize(): value[0].upper() + value[1:] for name, value in fields.items()}
    return template.format(**fields)
